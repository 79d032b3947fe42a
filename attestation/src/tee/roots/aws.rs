//! AWS's root.

/// AWS's root for Nitro Enclaves, G1, DER. Origin:
/// `https://aws-nitro-enclaves.amazonaws.com/AWS_NitroEnclaves_Root-G1.zip`; its SHA-256, which
/// AWS publishes, is 641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b.
pub(super) const AWS_ROOT: &[u8] = include_bytes!("der/aws-root-g1.der");

#[cfg(test)]
mod tests {
    #[test]
    fn the_root_is_the_one_whose_fingerprint_aws_publishes() {
        let digest = mc2_protocol::Digest::of(super::AWS_ROOT);
        assert_eq!(
            hex::encode(digest.as_bytes()),
            "641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b"
        );
    }
}
