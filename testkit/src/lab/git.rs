//! Where do hosts of the lab get git repositories from? From a host that shows each of them to the keys it was told of, and says no as
//! large hosts of git repositories do.
//!
//! Whose key is not registered is told `Permission denied (publickey).`; a key that is for other repositories `ERROR: Repository not
//! found.`, as for one that does not exist.

use super::{
    Lab,
    error::{LabResult, succeeded},
    host::Host,
    spec::HostSpec,
};
use std::net::Ipv4Addr;

/// A host of git repositories, which has user `git` and gives each key only what it is registered for.
#[derive(Debug, Clone)]
pub struct GitHost {
    /// Its machine.
    pub host: Host,
}

const MADE: &str = "useradd --create-home --shell /bin/sh --password '*' git; install -d -m 700 -o git -g git /home/git/.ssh; \
                    install -m 600 -o git -g git /dev/null /home/git/.ssh/authorized_keys; mkdir -p /srv/git /srv/work";

/// What a key is let do, whatever it asks for. The repositories are the first argument.
const SERVES: &str = r#"#!/bin/sh
allowed=$1
set -f
# shellcheck disable=SC2086 # its words
set -- $SSH_ORIGINAL_COMMAND
repository=$(printf '%s\n' "$2" | tr -d "'")
repository=${repository#/}
repository=${repository%.git}
if [ "$1" = git-upload-pack ] && [ -d "/srv/git/$repository.git" ]; then
    case " $allowed " in *" $repository "*) exec git -c safe.directory="*" upload-pack "/srv/git/$repository.git" ;; esac
fi
echo 'ERROR: Repository not found.' >&2
exit 1
"#;

const COMMITS: &str = r#"
repository=/srv/git/$1.git
work=/srv/work/$1
[ -d "$repository" ] || git init --quiet --bare --initial-branch=main "$repository"
[ -d "$work" ] || git init --quiet --initial-branch=main "$work"
shift
[ $# -gt 0 ] || exit 0
cd "$work"
while [ $# -gt 0 ]; do
    mkdir -p "$(dirname "$1")"
    printf '%s' "$2" >"$1"
    shift 2
done
git add --all
git -c user.name=lab -c user.email=lab@example.org commit --quiet --allow-empty --message='a change'
git push --quiet "$repository" HEAD:main
"#;

const REGISTERS: &str = r#"
keys=/home/git/.ssh/authorized_keys
body=$(printf '%s\n' "$1" | cut -d ' ' -f 2)
{
    grep -v -F " $body" "$keys" || true
    printf 'command="/srv/serve '"'%s'"'",restrict %s\n' "$2" "$1"
} >"$keys.new"
chown git:git "$keys.new"
chmod 600 "$keys.new"
mv -f "$keys.new" "$keys"
"#;

impl GitHost {
    /// A host without repositories, at this address.
    ///
    /// # Errors
    /// As [`Lab::host`].
    pub async fn new(lab: &Lab, address: Ipv4Addr) -> LabResult<Self> {
        // Its repositories belong to root, and are read by another user.
        let spec =
            HostSpec::new("git", address).file("/etc/gitconfig", "[safe]\n\tdirectory = *\n", 0o644).file("/srv/serve", SERVES, 0o755);
        let host = lab.host(spec).await?;
        host.shell(MADE).await?;
        Ok(Self { host })
    }

    /// Puts files (path and content) into a repository, as one commit, and makes it where there is none. Without files nothing is
    /// committed: a new repository stays empty.
    ///
    /// # Errors
    /// When git fails.
    pub async fn commit(&self, name: &str, files: &[(&str, &str)]) -> LabResult<()> {
        let mut arguments = vec![name];
        arguments.extend(files.iter().flat_map(|(path, content)| [*path, *content]));
        self.run(COMMITS, &arguments).await
    }

    /// Lets whoever has this key, a line of OpenSSH's, read these repositories, and no others from now on.
    ///
    /// # Errors
    /// When the host is not up.
    pub async fn register(&self, public_key: &str, repositories: &[&str]) -> LabResult<()> {
        self.run(REGISTERS, &[public_key.trim(), &repositories.join(" ")]).await
    }

    /// Its lines of `known_hosts`.
    ///
    /// # Errors
    /// When it has no host key.
    pub fn known_hosts_lines(&self) -> LabResult<Vec<String>> {
        Ok(self.host.known_hosts()?.lines().map(Into::into).collect())
    }

    /// The address of a repository.
    pub fn url(&self, name: &str) -> String {
        format!("git@{}:{name}.git", self.host.private())
    }

    async fn run(&self, script: &str, arguments: &[&str]) -> LabResult<()> {
        let command = [&["/bin/sh", "-ec", script, "git"], arguments].concat();
        succeeded("the lab's git host", self.host.exec(&command).await?).map(drop)
    }
}
