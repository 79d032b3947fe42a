//! What objectives and metrics both speak of: orders and what a place in them is worth, the noise of
//! survival times, functions with XGBoost's rounding, and the parameters of these.

pub(crate) mod aft;
pub(crate) mod math;
pub(crate) mod params;
pub(crate) mod ranking;
