//! Gradient boosting as XGBoost 3.4 defines it, in plain Rust without threads or I/O.
//!
//! The crate reads tables from whoever implements [`data::Source`], grows trees and gives and
//! takes models in XGBoost's own JSON and UBJSON. It trusts its caller and nobody else: tables,
//! parameters and models are hostile bytes until they are parsed, and whatever is wrong with them
//! is an error in words, never a panic.
//!
//! A reader's path: [`params`] (names, defaults, ranges) and [`data`] (rows as they come), then
//! [`bins`] (cut points and binned rows), [`grow`] (one tree), [`objective`] and [`metric`],
//! [`train`] (the boosting loop), [`model`] (what is kept of it) and [`predict`]. Every sum over
//! rows goes through a [`collective::Collective`], so several instances train one model.
//!
//! Names are XGBoost's where it has one: a *margin* is the raw sum of leaves, a *gradient pair*
//! the first and second derivative of the loss at it.

#![forbid(unsafe_code)]

pub mod bins;
pub mod collective;
pub mod data;
mod decimal;
pub mod gradient;
pub mod grow;
mod loss;
pub mod metric;
pub mod model;
pub mod objective;
pub mod params;
pub mod predict;
mod random;
pub mod train;
pub mod tree;
