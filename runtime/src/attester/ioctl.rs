//! The ioctls of the devices that have no other interface. All `unsafe` of the attesters is here:
//! each function hands a device a structure that it alone fills, with pointers into buffers that it
//! alone borrows, and gives back what the device says it wrote, held against the buffer's length.

#![allow(
    unsafe_code,
    reason = "a device's ioctl takes pointers; each call says why its are good"
)]

use std::{fs::File, io, ptr};

use rustix::ioctl::{Getter, Opcode, Updater, ioctl, opcode};

/// `struct nsm_raw` of Linux's `uapi/linux/nsm.h`: where the request is, and where the answer goes.
#[repr(C)]
struct NsmMessage {
    request: Piece,
    response: Piece,
}

/// An address and a length, as `struct nsm_iovec` and `struct iovec` have them.
#[repr(C)]
struct Piece {
    address: *mut u8,
    length: u64,
}

/// `NSM_IOCTL_RAW`.
const NSM_RAW: Opcode = opcode::read_write::<NsmMessage>(0x0a, 0);

/// Sends a request to the Nitro Secure Module; how many bytes of `response` it filled.
pub(super) fn nsm(device: &File, request: &[u8], response: &mut [u8]) -> io::Result<usize> {
    let mut message = NsmMessage {
        request: Piece {
            // Nobody writes through it: the device only reads requests.
            address: request.as_ptr().cast_mut(),
            length: request.len() as u64,
        },
        response: Piece {
            address: response.as_mut_ptr(),
            length: response.len() as u64,
        },
    };
    // SAFETY: NSM_RAW is the ioctl that takes this structure. The device reads `request.length`
    // bytes at the one address and writes at most `response.length` at the other, and both buffers
    // are borrowed until the call returns, `response` exclusively.
    unsafe { ioctl(device, Updater::<NSM_RAW, _>::new(&mut message)) }?;
    written(message.response.length, response.len())
}

/// Occlum's `sgxioc_gen_dcap_quote_arg_t`.
#[repr(C)]
struct OcclumQuote {
    report_data: *const [u8; 64],
    length: *mut u32,
    quote: *mut u8,
}

/// `SGXIOC_GET_DCAP_QUOTE_SIZE`.
const OCCLUM_QUOTE_SIZE: Opcode = opcode::read::<u32>(b's', 7);
/// `SGXIOC_GEN_DCAP_QUOTE`.
const OCCLUM_QUOTE: Opcode = opcode::read_write::<OcclumQuote>(b's', 8);

/// How many bytes a quote of this enclave has.
pub(super) fn occlum_quote_len(device: &File) -> io::Result<u32> {
    // SAFETY: OCCLUM_QUOTE_SIZE is the ioctl that writes one u32 where its argument points, and
    // any u32 is one.
    Ok(unsafe { ioctl(device, Getter::<OCCLUM_QUOTE_SIZE, u32>::new()) }?)
}

/// Has a quote made over the report data; how many bytes of `quote` it fills.
pub(super) fn occlum_quote(
    device: &File,
    report_data: &[u8; 64],
    quote: &mut [u8],
) -> io::Result<usize> {
    let mut length = u32::try_from(quote.len()).unwrap_or(u32::MAX);
    let mut argument = OcclumQuote {
        report_data: ptr::from_ref(report_data),
        length: ptr::from_mut(&mut length),
        quote: quote.as_mut_ptr(),
    };
    // SAFETY: OCCLUM_QUOTE is the ioctl that takes this structure. The library OS, which is in this
    // enclave and trusted, reads 64 bytes at the first address, reads and writes the u32 at the
    // second, and writes at most as many bytes as that said at the third. All three are borrowed
    // until the call returns, the latter two exclusively.
    unsafe { ioctl(device, Updater::<OCCLUM_QUOTE, _>::new(&mut argument)) }?;
    written(u64::from(length), quote.len())
}

/// `struct snp_guest_request_ioctl` of Linux's `uapi/linux/sev-guest.h`.
#[repr(C)]
struct SnpRequest {
    message_version: u8,
    request: *const SnpKeyRequest,
    response: *mut [u8; 64],
    errors: u64,
}

/// `struct snp_derived_key_req`: what a key is derived from.
#[repr(C)]
pub(super) struct SnpKeyRequest {
    root_key: u32,
    reserved: u32,
    fields: u64,
    vmpl: u32,
    guest_svn: u32,
    tcb_version: u64,
}

impl SnpKeyRequest {
    /// A key of the chip's own for VMPL 0: of these fields of the guest, its SVN, and a TCB that was
    /// committed.
    pub(super) const fn new(fields: u64, guest_svn: u32, tcb_version: u64) -> Self {
        Self {
            root_key: 0,
            reserved: 0,
            fields,
            vmpl: 0,
            guest_svn,
            tcb_version,
        }
    }
}

/// `SNP_GET_DERIVED_KEY`.
const SNP_KEY: Opcode = opcode::read_write::<SnpRequest>(b'S', 1);

/// The firmware's answer to a request for a derived key (MSG_KEY_RSP), which the caller wipes.
pub(super) fn snp_key(
    device: &File,
    request: &SnpKeyRequest,
    response: &mut [u8; 64],
) -> io::Result<()> {
    let mut argument = SnpRequest {
        message_version: 1,
        request: ptr::from_ref(request),
        response: ptr::from_mut(response),
        errors: 0,
    };
    // SAFETY: SNP_KEY is the ioctl that takes this structure. The kernel reads a
    // `struct snp_derived_key_req` (32 bytes) at the one address and writes a
    // `struct snp_derived_key_resp` (64 bytes) at the other; both are borrowed until the call
    // returns, `response` exclusively.
    unsafe { ioctl(device, Updater::<SNP_KEY, _>::new(&mut argument)) }?;
    Ok(())
}

/// What a device says it wrote, which is no more than it was given room for.
fn written(said: u64, room: usize) -> io::Result<usize> {
    usize::try_from(said)
        .ok()
        .filter(|said| *said <= room)
        .ok_or_else(|| io::Error::other(format!("it says it wrote {said} bytes where {room} fit")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the kernel's and Occlum's headers have them.
    #[test]
    fn the_requests_have_their_numbers() {
        assert_eq!(NSM_RAW, 0xc020_0a00);
        assert_eq!(OCCLUM_QUOTE_SIZE, 0x8004_7307);
        assert_eq!(OCCLUM_QUOTE, 0xc018_7308);
        assert_eq!(SNP_KEY, 0xc020_5301);
        assert_eq!(size_of::<SnpKeyRequest>(), 32);
    }

    #[test]
    fn a_length_beyond_the_buffer_is_refused() {
        assert_eq!(written(12, 12).unwrap(), 12);
        assert!(written(13, 12).is_err());
        assert!(written(u64::MAX, 12).is_err());
    }
}
