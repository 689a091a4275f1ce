//! What must hold of the files of every `Shell`? One suite for simulated nodes and for real ones over SSH.

use bldr_core::{
    error::PortErrorKind,
    fleet::Host,
    ports::{Existing, Shell},
};

/// A path in a folder that every node has, of a file that none has.
const PATH: &str = "/etc/bldr-contract-shell";

/// Every rule, one after the other, on one node.
pub async fn suite(shell: &dyn Shell, host: &Host) {
    what_is_not_there_is_not_found(shell, host).await;
    bytes_come_back_as_they_were_placed(shell, host).await;
    a_file_is_replaced_only_where_that_is_meant(shell, host).await;
    a_file_of_many_parts_is_read_from_any_byte_on(shell, host).await;
    a_folder_is_no_file(shell, host).await;
}

async fn whole(shell: &dyn Shell, host: &Host) -> Vec<u8> {
    let mut content = Vec::new();
    loop {
        let part = shell.read(host, PATH, content.len() as u64).await.expect("read");
        content.extend(&part.bytes);
        if part.bytes.is_empty() || content.len() as u64 >= part.size {
            return content;
        }
    }
}

async fn what_is_not_there_is_not_found(shell: &dyn Shell, host: &Host) {
    let absent = shell.read(host, "/etc/bldr-contract-none", 0).await.map(|part| part.size);
    assert_eq!(absent.map_err(|error| error.kind), Err(PortErrorKind::NotFound));
}

async fn bytes_come_back_as_they_were_placed(shell: &dyn Shell, host: &Host) {
    let bytes: Vec<u8> = (0..=255).chain(*b"\n\n").collect();
    shell.place(host, PATH, &bytes, Existing::Stays).await.expect("place");
    assert_eq!(whole(shell, host).await, bytes);
    shell.place(host, PATH, b"", Existing::IsReplaced).await.expect("an empty file is a file");
    assert_eq!(whole(shell, host).await, b"");
}

async fn a_file_is_replaced_only_where_that_is_meant(shell: &dyn Shell, host: &Host) {
    shell.place(host, PATH, b"first", Existing::IsReplaced).await.expect("place");
    let again = shell.place(host, PATH, b"second", Existing::Stays).await;
    assert_eq!(again.map_err(|error| error.kind), Err(PortErrorKind::Conflict));
    assert_eq!(whole(shell, host).await, b"first");
    shell.place(host, PATH, b"third", Existing::IsReplaced).await.expect("replace");
    assert_eq!(whole(shell, host).await, b"third");
}

async fn a_file_of_many_parts_is_read_from_any_byte_on(shell: &dyn Shell, host: &Host) {
    let big: Vec<u8> = (0..9_000_000_u32).map(|n| u8::try_from(n % 251).unwrap_or_default()).collect();
    shell.place(host, PATH, &big, Existing::IsReplaced).await.expect("place");
    let first = shell.read(host, PATH, 0).await.expect("read");
    assert!(first.size == 9_000_000 && (first.bytes.len() as u64) < first.size, "a part has an end: {}", first.bytes.len());
    let last = shell.read(host, PATH, 8_999_999).await.expect("read");
    assert_eq!((last.bytes.as_slice(), last.identity == first.identity), (&big[8_999_999..], true));
    assert!(whole(shell, host).await == big);
    assert_eq!(shell.read(host, PATH, 9_000_000).await.expect("nothing is left").bytes, b"");
    shell.place(host, PATH, b"small", Existing::IsReplaced).await.expect("place");
}

async fn a_folder_is_no_file(shell: &dyn Shell, host: &Host) {
    let read = shell.read(host, "/etc", 0).await.map(|part| part.size);
    assert_eq!(read.map_err(|error| error.kind), Err(PortErrorKind::Refused));
    let placed = shell.place(host, "/etc", b"x", Existing::IsReplaced).await;
    assert_eq!(placed.map_err(|error| error.kind), Err(PortErrorKind::Refused));
}
