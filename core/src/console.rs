//! Which host keys has a new machine printed on its console? cloud-init prints them there once, in a frame, and EC2 shows it:
//! a way to know a machine before anybody has spoken to it.

use crate::ssh_key::SshPublicKey;

const BEGIN: &str = "-----BEGIN SSH HOST KEY KEYS-----";
const END: &str = "-----END SSH HOST KEY KEYS-----";

/// The host keys in the last frame that is whole; none where there is none. A frame that is cut off may lack keys and have half
/// ones, so nothing in it counts. Whatever the console puts in front of a line is passed over.
pub fn host_keys(console: &str) -> Vec<SshPublicKey> {
    let (mut whole, mut open) = (Vec::new(), None::<Vec<SshPublicKey>>);
    for line in console.split(['\n', '\r']) {
        if line.contains(BEGIN) {
            open = Some(Vec::new());
        } else if line.contains(END) {
            // An end without a beginning: the console has forgotten what came before.
            whole = open.take().unwrap_or(whole);
        } else if let (Some(keys), Some(key)) = (&mut open, key_in(line))
            && !keys.contains(&key)
        {
            keys.push(key);
        }
    }
    whole
}

/// The key at the end of a line, behind whatever the kernel or syslog has put in front.
fn key_in(line: &str) -> Option<SshPublicKey> {
    let after_space = line.char_indices().filter(|(_, c)| c.is_whitespace()).map(|(at, c)| at + c.len_utf8());
    std::iter::once(0).chain(after_space).find_map(|at| SshPublicKey::from_openssh(&line[at..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ED25519: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIASEJpqU6Ff+wdoUT4FrvA5knw4sgEj1VN0hYymUXW+4 root@ip-10-0-0-1";
    const ECDSA: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBA== root@ip-10-0-0-1";
    const OTHER: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOSKizCg79xSWTefOknosqhlonaLDOlsfGGAEqEluUF+ root@ip-10-0-0-1";

    fn lines(console: &str) -> Vec<String> {
        host_keys(console).iter().map(ToString::to_string).collect()
    }

    fn frame(keys: &[&str]) -> String {
        format!("{BEGIN}\n{}\n{END}\n", keys.join("\n"))
    }

    #[test]
    fn the_keys_between_begin_and_end_are_found_among_all_else() {
        let console = format!("[    0.0] Linux\n{OTHER}\n{}\nUbuntu login: \n{OTHER}\n", frame(&[ECDSA, ED25519]));
        assert_eq!(lines(&console), [ECDSA, ED25519]);
    }

    #[test]
    fn prefixes_of_the_kernel_and_of_cloud_init_and_foreign_line_ends_are_passed_over() {
        for prefix in ["[   12.345678] cloud-init[812]: ", "ec2: ", "<14>Nov 22 12:00:00 ip-10-0-0-1 cloud-init: ", "\t", ""] {
            let console = frame(&[ECDSA, "", ED25519]).lines().map(|line| format!("{prefix}{line}\r\n")).collect::<String>();
            assert_eq!(lines(&console), [ECDSA, ED25519], "{prefix:?}");
        }
    }

    #[test]
    fn what_others_print_in_between_is_no_key() {
        let keys = ["[   12.3] audit: type=1400 ssh-agent", ED25519, "ci-info: no authorized SSH keys fingerprints found", ED25519];
        assert_eq!(lines(&frame(&keys)), [ED25519]);
    }

    #[test]
    fn a_frame_that_is_cut_off_has_nothing() {
        let whole = frame(&[ECDSA, ED25519]);
        for cut in 0..whole.find(END).unwrap() {
            assert_eq!(lines(&whole[..cut]), [] as [&str; 0], "the first {cut} bytes");
        }
        let beginning_lost = &whole[BEGIN.len() - 3..];
        assert_eq!(lines(beginning_lost), [] as [&str; 0]);
        assert_eq!(lines(""), [] as [&str; 0]);
    }

    #[test]
    fn of_several_frames_the_last_whole_one_counts() {
        let (first, second) = (frame(&[ECDSA, OTHER]), frame(&[ED25519]));
        assert_eq!(lines(&format!("{first}{second}")), [ED25519]);
        assert_eq!(lines(&format!("{second}{second}")), [ED25519]);
        assert_eq!(lines(&format!("{second}{BEGIN}\n{OTHER}\n")), [ED25519], "the last is cut off");
        assert_eq!(lines(&format!("{BEGIN}\n{OTHER}\n{second}")), [ED25519], "the first is");
    }
}
