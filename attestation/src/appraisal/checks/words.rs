//! What several checks say in the same words.

use mc2_protocol::documents::record::ComponentDigest;

/// To whoever asked for a session and got one for another policy.
pub(super) const OTHER_POLICY: &str =
    "the session was opened for another policy: open one for yours";

/// Components by name and digest.
pub(super) fn listed(components: &[ComponentDigest]) -> String {
    if components.is_empty() {
        return "none".to_owned();
    }
    let lines: Vec<String> = components
        .iter()
        .map(|component| format!("{} {}", component.name, component.sha256))
        .collect();
    lines.join(", ")
}
