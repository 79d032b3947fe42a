//! Streams between instances, as files.

use super::*;

#[test]
fn one_instance_has_no_peers() {
    let mut world = World::new();
    assert_eq!(
        world.list("/run/mc2", "."),
        ["error", "job.json", "progress"]
    );
}

#[test]
fn peers_are_folders_of_streams_and_oneself_is_none() {
    let peers = Peers::new(3);
    let seat = peers.seat(1);
    let mut world = World::at(Some(&seat), Limits::default());
    assert_eq!(world.list("/run/mc2", "peers"), ["0/", "2/"]);
    assert_eq!(world.list("/run/mc2", "peers/2"), ["in", "out"]);
    for (path, flags, error) in [
        ("peers/1/in", READ, ErrorCode::NoEntry),
        ("peers/3/out", WRITE, ErrorCode::NoEntry),
        ("peers/2/in", WRITE, ErrorCode::NotPermitted),
        ("peers/2/out", READ, ErrorCode::NotPermitted),
    ] {
        let refused = world.open("/run/mc2", path, OpenFlags::empty(), flags);
        assert_eq!(refused.unwrap_err(), error, "{path}");
    }
    for change in [
        world.rm("/run/mc2", "peers/2/in"),
        world.mkdir("/run/mc2", "peers/4"),
        world.mv(("/run/mc2", "peers/0/in"), ("/run/mc2", "peers/0/x")),
    ] {
        assert_eq!(change, Err(ErrorCode::NotPermitted));
    }
}

#[test]
fn a_stream_to_a_peer_goes_by_order_and_not_by_offset() {
    let peers = Peers::new(2);
    let [one, two] = [peers.seat(0), peers.seat(1)];
    let mut first = World::at(Some(&one), Limits::default());
    let mut second = World::at(Some(&two), Limits::default());
    // As `fs::write` opens it.
    let all = NEW | OpenFlags::TRUNCATE;
    let out = first.open("/run/mc2", "peers/1/out", all, WRITE).unwrap();
    let rep = out.rep();
    for (text, offset) in [("ab", 7), ("c", 0)] {
        let out = Resource::new_borrow(rep);
        let written = block_on(first.guest.write(out, text.into(), offset));
        assert_eq!(written.map_err(code_of), Ok(text.len() as u64));
    }
    let none = OpenFlags::empty();
    let into = second.open("/run/mc2", "peers/0/in", none, READ).unwrap();
    let rep = into.rep();
    let mut read = |len, offset| {
        let into = Resource::new_borrow(rep);
        block_on(second.guest.read(into, len, offset)).map_err(code_of)
    };
    assert_eq!(read(2, 100), Ok((b"ab".to_vec(), false)));
    assert_eq!(read(0, 0), Ok((Vec::new(), false)));
    assert_eq!(read(100, 0), Ok((b"c".to_vec(), false)));
    HostDescriptor::drop(&mut first.guest, out).unwrap();
    assert_eq!(read(100, 0), Ok((Vec::new(), true)));
    let again = first.open("/run/mc2", "peers/1/out", none, WRITE);
    assert_eq!(again.unwrap_err(), ErrorCode::Pipe);
}

#[test]
fn a_stream_nobody_is_left_to_read_is_broken() {
    let peers = Peers::new(2);
    let [one, two] = [peers.seat(0), peers.seat(1)];
    let mut first = World::at(Some(&one), Limits::default());
    let none = OpenFlags::empty();
    let out = first.open("/run/mc2", "peers/1/out", none, WRITE).unwrap();
    let rep = out.rep();
    two.end(&Ok(()));
    let written = block_on(first.guest.write(out, b"x".to_vec(), 0));
    assert_eq!(written.map_err(code_of), Err(ErrorCode::Pipe));
    let out = Resource::new_borrow(rep);
    let stream = first
        .guest
        .write_via_stream(out, 0)
        .map_err(code_of)
        .unwrap();
    let stream = first.guest.table.get_mut(&stream).unwrap();
    // Only a write is refused: what was written before may well have been read.
    assert!(matches!(stream.check_write(), Ok(1..)));
    assert!(stream.flush().is_ok());
    let refused = stream.write(Bytes::from_static(b"x"));
    assert!(matches!(refused, Err(StreamError::Closed)));
}
