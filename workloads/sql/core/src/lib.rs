//! The parts of the SQL component that need no query engine.
