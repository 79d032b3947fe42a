//! The kernel's archive of files, `newc` (`Documentation/driver-api/early-userspace/buffer-format.rst`
//! in its source), with nothing in it that depends on where or when it was written.

const MAGIC: &str = "070701";
const TRAILER: &str = "TRAILER!!!";
const FOLDER: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const CHARACTER_DEVICE: u32 = 0o020_600;

/// An archive on its way: entries get inode numbers in their order, no owner and no time.
#[derive(Default)]
pub(crate) struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

impl Archive {
    /// A folder, by its path without the leading slash.
    pub(crate) fn folder(&mut self, path: &str) {
        self.entry(path, FOLDER, (0, 0), &[]);
    }

    /// A file that can be executed.
    pub(crate) fn program(&mut self, path: &str, content: &[u8]) {
        self.entry(path, PROGRAM, (0, 0), content);
    }

    /// A character device.
    pub(crate) fn device(&mut self, path: &str, major: u32, minor: u32) {
        self.entry(path, CHARACTER_DEVICE, (major, minor), &[]);
    }

    /// The archive's bytes, whole.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.entries = 0;
        self.write(TRAILER, 0, 0, 1, (0, 0), &[]);
        self.bytes
    }

    fn entry(&mut self, path: &str, mode: u32, device: (u32, u32), content: &[u8]) {
        self.entries += 1;
        let links = if mode == FOLDER { 2 } else { 1 };
        self.write(path, self.entries, mode, links, device, content);
    }

    fn write(
        &mut self,
        path: &str,
        inode: u32,
        mode: u32,
        links: u32,
        (major, minor): (u32, u32),
        content: &[u8],
    ) {
        // Owner, group and time are zero, and so are the numbers of the disk it lies on; the last
        // field is a checksum that this variant has not.
        let fields = [
            inode,
            mode,
            0,
            0,
            links,
            0,
            content.len() as u32,
            0,
            0,
            major,
            minor,
            path.len() as u32 + 1,
            0,
        ];
        self.bytes.extend_from_slice(MAGIC.as_bytes());
        for field in fields {
            self.bytes
                .extend_from_slice(format!("{field:08X}").as_bytes());
        }
        self.bytes.extend_from_slice(path.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_as_the_kernel_documents_it() {
        let mut archive = Archive::default();
        archive.program("init", b"x");
        let bytes = archive.finish();
        let header = "070701\
             00000001000081ED000000000000000000000001000000000000000100000000000000000000000000000000\
             0000000500000000";
        assert!(bytes.starts_with(header.as_bytes()));
        assert_eq!(&bytes[110..120], b"init\0\0x\0\0\0");
        assert_eq!(bytes.len() % 4, 0);
    }
}
