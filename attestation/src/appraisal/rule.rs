//! What every check is to the appraisal.

use super::{check::Finding, facts::Facts};

/// One check. Its file says what it is for; its place in `checks::ALL` says what it may rely on.
pub(super) trait Rule {
    /// Its name for programs, which stays: that of its file.
    fn id(&self) -> &'static str;

    /// What is checked: the first words of its line.
    fn what(&self) -> &'static str;

    /// Whether this appraisal asks for it. Where it may be needed, it is: a check that applies and
    /// is not made counts as failed.
    fn applies(&self, _: &Facts<'_>) -> bool {
        true
    }

    /// Makes it, and notes in `facts` what it establishes; `None` where something it needs was not
    /// established.
    fn check(&self, facts: &mut Facts<'_>) -> Option<Finding>;
}
