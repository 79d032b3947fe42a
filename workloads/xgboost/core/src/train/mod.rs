//! The boosting loop: `gbtree` and `dart`, evaluation, early stopping, cross-validation.
