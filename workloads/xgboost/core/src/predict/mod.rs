//! What a model says of rows: margins, leaves and contributions.
