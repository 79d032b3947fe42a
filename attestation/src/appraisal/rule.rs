//! What every check is to the appraisal.

use super::facts::Facts;
use crate::check::{Check, Finding};

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

    /// Its lines: one, but where it stands for all the checks of a TEE's verifier.
    fn checks(&self, facts: &mut Facts<'_>) -> Vec<Check> {
        let finding = self.check(facts);
        vec![self.line(finding)]
    }

    /// Its line, as it came out.
    fn line(&self, finding: Option<Finding>) -> Check {
        match finding {
            Some(finding) => Check::made(self.id(), self.what(), finding),
            None => Check::not_reached(self.id(), self.what()),
        }
    }
}
