//! What can be asked for? The table of tasks: everything help, parsing and suggestions know about them.

/// What may stand as the value of an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Yes or no; the option alone means yes.
    Flag,
    /// A number from 1 on.
    Count,
    /// A number from 0 on.
    Number,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Any text; what to call it in help.
    Text(&'static str),
}

/// `KEY=VALUE`, or `--key VALUE`.
#[derive(Debug)]
pub struct Opt {
    /// The key, with `-` between words; `_` means the same.
    pub name: &'static str,
    /// What may stand as its value.
    pub kind: Kind,
    /// What holds where it is not given, for help.
    pub default: &'static str,
    /// What it is for, as half a sentence.
    pub about: &'static str,
}

/// An argument that is known by its place; it may also be given by its name.
#[derive(Debug)]
pub struct Positional {
    /// Its name.
    pub name: &'static str,
    /// What to call it in help.
    pub shows: &'static str,
    /// What it is, as half a sentence.
    pub about: &'static str,
    /// A value as it might be typed.
    pub example: &'static str,
    /// Whether the task cannot do without.
    pub required: bool,
}

/// One thing bldr can do.
#[derive(Debug)]
pub struct Task {
    /// The word that names it.
    pub name: &'static str,
    /// One line for the list.
    pub about: &'static str,
    /// What more there is to know, for its help.
    pub more: &'static str,
    /// Its arguments, in order.
    pub positionals: &'static [Positional],
    /// Its options.
    pub options: &'static [Opt],
}

impl Task {
    /// A command line that works, in the form `TASK:ARG,ARG`.
    pub fn example(&self) -> String {
        let args: Vec<_> = self.positionals.iter().filter(|p| p.required).map(|p| p.example).collect();
        if args.is_empty() { format!("bldr {}", self.name) } else { format!("bldr {}:{}", self.name, args.join(",")) }
    }
    /// The same in the form `TASK ARG ARG`.
    pub fn example_spaced(&self) -> String {
        let args: Vec<_> = self.positionals.iter().map(|p| p.example).collect();
        format!("bldr {} {}", self.name, args.join(" ")).trim_end().into()
    }
    /// A command line with an option.
    pub fn example_with(&self, option: &str) -> String {
        let example = self.example();
        let gap = if example.contains(':') { ',' } else { ':' };
        format!("{example}{gap}{option}")
    }
    /// The task of that name; `_` and `-` are the same.
    pub fn named(name: &str) -> Option<&'static Task> {
        TASKS.iter().find(|task| same_word(task.name, name))
    }
}

/// Whether two words are the same where `_` and `-` are.
pub fn same_word(a: &str, b: &str) -> bool {
    let plain = |byte: u8| if byte == b'_' { b'-' } else { byte };
    a.bytes().map(plain).eq(b.bytes().map(plain))
}

const STACK: Positional =
    Positional { name: "stack", shows: "STACK", about: "a stack: PROJECT--INSTANCE", example: "harbor--ci", required: true };
const NEW_MASTER: Positional =
    Positional { name: "master", shows: "NEWMASTER", about: "the stack of the new master", example: "master-server--b", required: true };
const MASTER: Positional = Positional {
    name: "master",
    shows: "MASTER",
    about: "the stack of a master; else the one in charge",
    example: "master-server--a",
    required: false,
};
const REVISION: Positional = Positional {
    name: "revision",
    shows: "REVISION",
    about: "a revision that context.history lists; its first characters are enough",
    example: "3f9a2c",
    required: true,
};

const PLAN: Opt = Opt { name: "plan", kind: Kind::Flag, default: "no", about: "show what would be done and stop there" };
const JOBS: Opt =
    Opt { name: "jobs", kind: Kind::Count, default: "settings, else 8", about: "how many stacks are in work at once, at most" };
const STOPPED: Opt = Opt {
    name: "stopped",
    kind: Kind::Choice(&["skip", "start", "start-and-stop"]),
    default: "settings, else start-and-stop",
    about: "what to do with stopped nodes",
};
const HIGHSTATE: Opt = Opt {
    name: "highstate",
    kind: Kind::Choice(&["apply", "test", "none"]),
    default: "settings, else apply",
    about: "run the highstate, only test it, or leave it out",
};
const ALLOW_UNSHARED: Opt = Opt {
    name: "allow-unshared",
    kind: Kind::Flag,
    default: "no",
    about: "go on although the project files do not name the new address yet; is recorded",
};
const ADDRESS: Opt = Opt {
    name: "address",
    kind: Kind::Text("ADDRESS"),
    default: "the new master's private address",
    about: "the address minions shall know the new master by: an IPv4, an IPv6 or a DNS name",
};

const REHEARSE: Opt = Opt {
    name: "rehearse",
    kind: Kind::Flag,
    default: "no",
    about: "render each highstate against the new master first, and switch only what would succeed",
};
const REVERT: Opt = Opt {
    name: "revert",
    kind: Kind::Flag,
    default: "yes",
    about: "put a stack back as it was where it does not answer the new master; no leaves it to be looked at",
};
const JOIN_TIMEOUT: Opt = Opt {
    name: "join-timeout",
    kind: Kind::Count,
    default: "60",
    about: "how many seconds a minion may take to connect to the new master and answer it",
};
const WATCHDOG: Opt = Opt {
    name: "watchdog",
    kind: Kind::Count,
    default: "210 a node of the stack",
    about: "after how many seconds a switched node puts itself back, unless bldr confirms the switch",
};

const NODE: Opt = Opt { name: "node", kind: Kind::Count, default: "the only one", about: "the number of the node that is meant" };
const EACH_NODE: Opt = Opt { default: "all of them", ..NODE };
const BOOTSTRAP: Opt = Opt {
    name: "use-bootstrap-user",
    kind: Kind::Flag,
    default: "no",
    about: "log in as users.bootstrap, not as users.deploy: on a machine that no highstate has run on yet",
};
const AUTOSTART: Opt =
    Opt { name: "autostart", kind: Kind::Flag, default: "no", about: "start stopped nodes first, and leave them running" };
const CONCURRENCY: Opt = Opt {
    name: "concurrency",
    kind: Kind::Choice(&["serial", "parallel"]),
    default: "serial",
    about: "one node after the other, or all at once",
};
const DRY_RUN: Opt = Opt {
    name: "dry-run",
    kind: Kind::Flag,
    default: "no",
    about: "change nothing: say what would be, and run the highstate of a minion that is in order with test=True",
};
const PATH: Positional =
    Positional { name: "path", shows: "PATH", about: "an absolute path on the node", example: "/etc/salt/minion", required: true };

/// Options every task takes; they may stand before the task, too.
pub const GLOBAL: &[Opt] = &[
    Opt {
        name: "home",
        kind: Kind::Text("DIR"),
        default: "BLDR_HOME, else the current folder",
        about: "where settings.yaml, .cfn/ and .bldr/ are",
    },
    Opt {
        name: "output",
        kind: Kind::Choice(&["text", "json"]),
        default: "text",
        about: "results for people, or one JSON object a line (docs/json.md)",
    },
    Opt { name: "yes", kind: Kind::Flag, default: "no", about: "answer yes to every question" },
    Opt { name: "no-color", kind: Kind::Flag, default: "NO_COLOR", about: "no colour" },
];

const RUN: Positional = Positional {
    name: "run",
    shows: "RUN",
    about: "a run that `runs` lists; the beginning or the end of its name is enough, and `last` is the last one",
    example: "last",
    required: true,
};

const ROLLBACK_OPTIONS: &[Opt] = &[JOBS, STOPPED, HIGHSTATE, REHEARSE, REVERT, JOIN_TIMEOUT, WATCHDOG, ALLOW_UNSHARED];
const REMASTER_OPTIONS: &[Opt] = &[PLAN, JOBS, STOPPED, HIGHSTATE, REHEARSE, REVERT, JOIN_TIMEOUT, WATCHDOG, ALLOW_UNSHARED, ADDRESS];
const REMASTER_ALL_OPTIONS: &[Opt] = &[
    PLAN,
    Opt {
        name: "limit",
        kind: Kind::Text("LIMIT"),
        default: "all of them",
        about: "only these stacks: harbor--ci, 'harbor--*', harbor, instance:ci, tag:Team:web, not:…, joined by +",
    },
    JOBS,
    Opt {
        name: "canary",
        kind: Kind::Text("STACK"),
        default: "settings, else none",
        about: "the stack that goes first; where it fails, no other one is begun; none",
    },
    Opt {
        name: "max-failures",
        kind: Kind::Text("N|N%"),
        default: "settings, else no limit",
        about: "how many stacks may fail, or which part of all, before no more are begun; none for no limit",
    },
    Opt {
        name: "pause-before",
        kind: Kind::Choice(&["continuumtest", "ci", "end2end", "prod", "none"]),
        default: "settings, else nothing",
        about: "do what comes before that stage, then ask before going on; where nobody can be asked, stop there",
    },
    Opt {
        name: "window",
        kind: Kind::Text("HH:MM-HH:MM"),
        default: "settings, else any time",
        about: "begin stacks only between these times of the day, by the clock of this machine; none for any",
    },
    STOPPED,
    HIGHSTATE,
    REHEARSE,
    REVERT,
    JOIN_TIMEOUT,
    WATCHDOG,
    ALLOW_UNSHARED,
    ADDRESS,
];

/// Every task, in the order of the list.
pub const TASKS: &[Task] = &[
    Task { name: "tasks", about: "list what bldr can do", more: "", positionals: &[], options: &[] },
    Task {
        name: "stacks",
        about: "list the stacks of the region: state, addresses, context, master",
        more: "The master is the one the stack's context names.",
        positionals: &[],
        options: &[],
    },
    Task {
        name: "master.list",
        about: "list the masters in order of precedence, and say which is preferred and why",
        more: "Masters sort by the text of their instance id; the first is preferred unless settings.yaml pins one.",
        positionals: &[],
        options: &[],
    },
    Task {
        name: "master.status",
        about: "show where each node stands: everything that names a master, who gets an answer, and a verdict",
        more: "Where to look first when something went wrong. The verdict is about the master the project files name, else \
               the preferred one. docs/remastering.md says what each verdict means and what to type next.",
        positionals: &[Positional { required: false, about: "only this stack", ..STACK }],
        options: &[Opt {
            name: "master",
            kind: Kind::Text("MASTER"),
            default: "what the project files name",
            about: "the master the nodes should be on",
        }],
    },
    Task {
        name: "master.share",
        about: "write the new master's address into the project files, for the team to see",
        more: "Shows the difference and asks before it writes. Only the address changes: comments and layout stay. A file with changes \
               that are not committed is left alone. master.remaster refuses an address that is not shared.",
        positionals: &[NEW_MASTER],
        options: &[
            ADDRESS,
            Opt {
                name: "commit",
                kind: Kind::Flag,
                default: "no",
                about: "commit the project files, and nothing else, in the git repository they are in",
            },
        ],
    },
    Task {
        name: "master.remaster",
        about: "make one stack take its orders from a new master",
        more: "Context, build vars, the minion's configuration and its trusted key name the new master afterwards, the minion \
               answers it, and the highstate has run. A stack that does not answer is put back as it was, by itself even where \
               bldr is gone. Run it again after any failure: what is done already is left alone.",
        positionals: &[STACK, NEW_MASTER],
        options: REMASTER_OPTIONS,
    },
    Task {
        name: "master.remaster_all",
        about: "make every stack of the region take its orders from a new master",
        more: "Projects run side by side, the stacks of a project one after the other, prod last. It begins with one stack and \
               has more in work while the new master keeps up. A failure holds the rest of its project. Ctrl-C stops after the stacks in flight; a second one stops at once.",
        positionals: &[NEW_MASTER],
        options: REMASTER_ALL_OPTIONS,
    },
    Task {
        name: "master.rollback",
        about: "move back to where they were the stacks that a run has moved",
        more: "Each stack is re-mastered to the master it had before that run, by the run's own record; what was put back or was never \
               switched is left alone. It is a run like any other: it can be interrupted, resumed, and rolled back.",
        positionals: &[RUN, Positional { required: false, about: "only this stack", ..STACK }],
        options: ROLLBACK_OPTIONS,
    },
    Task {
        name: "runs",
        about: "list what was run, the newest last: when, how long, how it ended, or that it goes on or was cut short",
        more: "",
        positionals: &[],
        options: &[Opt { name: "all", kind: Kind::Flag, default: "no", about: "not only the newest 20" }],
    },
    Task {
        name: "run.show",
        about: "show what was recorded of a run: its stacks, what failed, and what nobody knows the end of",
        more: "With a stack, each of its steps, and how long it took.",
        positionals: &[RUN, Positional { required: false, about: "every step of this stack", ..STACK }],
        options: &[],
    },
    Task {
        name: "run.watch",
        about: "show a run while it goes on, as who began it sees it; ends with its exit code",
        more: "Ctrl-C ends the watching, and not the run.",
        positionals: &[RUN],
        options: &[],
    },
    Task {
        name: "run.report",
        about: "write what was recorded of a run as one HTML page: a time line, what to look at, every stack",
        more: "The page needs nothing but a browser. It names stacks, addresses and reasons, and has no secrets.",
        positionals: &[
            RUN,
            Positional {
                name: "file",
                shows: "FILE",
                about: "the page's file, or a folder for RUN.html",
                example: "run.html",
                required: false,
            },
        ],
        options: &[],
    },
    Task {
        name: "run.resume",
        about: "finish a run that was cut short, or has failures: the same as was typed then",
        more: "What is done is left alone: the nodes are asked, not the record.",
        positionals: &[RUN],
        options: &[],
    },
    Task {
        name: "master.doctor",
        about: "say whether a master is fit to take over: a line a check, ok, warning or no, with what to do",
        more: "Whether its salt-master answers, it can read the private repository, the configuration and every formula, has states, renders \
               a pillar, has room, time and threads; and whether a minion of each network reaches it and could join. Exit code 1 where any \
               line says no. Changes nothing.",
        positionals: &[MASTER],
        options: &[],
    },
    Task {
        name: "master.retire",
        about: "stop a master, once nothing points to it any more",
        more: "Refuses, and lists them, while any context, build vars, project file, minion configuration, trusted key, stopped stack or live \
               connection still points to it, or cannot be asked.",
        positionals: &[Positional { required: true, about: "the stack of the master that is to go", ..MASTER }],
        options: &[
            Opt {
                name: "terminate",
                kind: Kind::Flag,
                default: "no",
                about: "destroy it, where it has been stopped for the days of grace; asks for its name",
            },
            Opt { name: "grace", kind: Kind::Number, default: "7", about: "how many days it has to have been stopped by then" },
        ],
    },
    Task {
        name: "master.update",
        about: "bring a master up to date, and remove the keys of minions whose stack is no more",
        more: "A regular update first: Salt, repositories, formulas, configuration, highstate. A stack with an instance in whatever state is \
               alive, and so is one with a context. An empty answer from EC2 removes nothing; more than the share that settings.yaml allows \
               (`orphans`, in percent) needs --yes. keys.restore puts a removed key back.",
        positionals: &[MASTER],
        options: &[DRY_RUN, AUTOSTART],
    },
    Task {
        name: "launch",
        about: "make a stack: context, key pair, security group, machines, and its first update",
        more: "Refuses a stack that exists. Run it again after any failure: it goes on where that was, and makes nothing twice. A stack that is \
               an alternate's name gets that alternate.",
        positionals: &[
            Positional { name: "project", shows: "PROJECT", about: "a project of the project files", example: "harbor", required: true },
            Positional { name: "instance", shows: "ID", about: "what to call this instance of it", example: "pr-200", required: true },
            Positional { name: "alternate", shows: "ALT", about: "an alternate of the project", example: "large", required: false },
        ],
        options: &[PLAN],
    },
    Task {
        name: "update",
        about: "bring each node of a stack up to date: Salt, its master and its key, the highstate; of a master its repositories too",
        more: "The master's address comes from a node's build vars and from nowhere else: an update moves no minion. Salt is never downgraded, \
               and no minion gets a newer one than its master has. The minion is restarted only if something changed.",
        positionals: &[STACK],
        options: &[DRY_RUN, CONCURRENCY, AUTOSTART],
    },
    Task {
        name: "destroy",
        about: "remove a stack and all that was made for it: machines, security group, key pair, context",
        more: "Asks for the stack's name to be typed; --yes answers. Its context stays in the history. Refuses a master that anything still points \
               to. Its minions' keys go with the next master.update.",
        positionals: &[STACK],
        options: &[],
    },
    Task {
        name: "keys.list",
        about: "list the keys that a master holds, and those that were removed from it",
        more: "",
        positionals: &[MASTER],
        options: &[],
    },
    Task {
        name: "keys.orphans",
        about: "list the keys of a master whose stack is no more",
        more: "A stack that has an instance in whatever state is alive. One that has only a context may be in another region, and keeps its \
               keys; so does an id that is no node's name.",
        positionals: &[MASTER],
        options: &[],
    },
    Task {
        name: "keys.restore",
        about: "put a removed key of a master back",
        more: "As what it was when it was removed: accepted, waiting, or refused. Nothing is put in the place of another key.",
        positionals: &[
            Positional { name: "id", shows: "ID", about: "a minion's id, or all", example: "harbor--ci--1", required: true },
            MASTER,
        ],
        options: &[],
    },
    Task {
        name: "start",
        about: "start the stopped nodes of a stack, and wait until they run",
        more: "A stack that a re-mastering has woken stays awake then.",
        positionals: &[STACK],
        options: &[EACH_NODE],
    },
    Task {
        name: "stop",
        about: "stop the nodes of a stack, and wait until they are off",
        more: "Asks first where the stack is a master that contexts name.",
        positionals: &[STACK],
        options: &[EACH_NODE],
    },
    Task {
        name: "cmd",
        about: "run a command line on each node of a stack",
        more: "What it prints is shown as it comes, with the node's name in front where there are several. Exit code 1 where it fails \
               on any of them. It goes past the lock: whoever holds it is named. A command line with blanks goes in quotes. In `cmd:STACK,COMMAND` a comma in the command line is written \\, and an equals sign \\=",
        positionals: &[
            STACK,
            Positional { name: "command", shows: "COMMAND", about: "what to run in the login shell", example: "uptime", required: true },
        ],
        options: &[EACH_NODE, CONCURRENCY, BOOTSTRAP],
    },
    Task {
        name: "ssh",
        about: "log in to a node of a stack",
        more: "By the way that bldr itself goes there: the same key, bastion and known hosts. The terminal is the node's until you log out. \
               It goes past the lock: whoever holds it is named.",
        positionals: &[STACK, Positional { name: "node", shows: "NODE", about: "the number of the node", example: "1", required: false }],
        options: &[BOOTSTRAP],
    },
    Task {
        name: "download_file",
        about: "fetch a file from a node, read as root",
        more: "The file is here whole or not at all, and for you alone. Where DEST is a folder the file keeps its name.",
        positionals: &[
            STACK,
            PATH,
            Positional {
                name: "destination",
                shows: "DEST",
                about: "a folder here, or the file's new name; else the current folder",
                example: "/tmp",
                required: false,
            },
        ],
        options: &[
            NODE,
            Opt {
                name: "allow-missing",
                kind: Kind::Flag,
                default: "no",
                about: "a file that is not there is all right, and nothing is said of it",
            },
            BOOTSTRAP,
        ],
    },
    Task {
        name: "upload_file",
        about: "place a file on a node, as root",
        more: "In one step, and never over a file that is there unless you say so: that one's owner and mode stay then. A new one is \
               root's, mode 0644. A PATH that ends with / is a folder.",
        positionals: &[
            STACK,
            Positional { name: "file", shows: "FILE", about: "a file here", example: "motd", required: true },
            Positional { example: "/etc/motd", ..PATH },
        ],
        options: &[
            NODE,
            Opt { name: "overwrite", kind: Kind::Flag, default: "no", about: "put it in the place of a file that is there" },
            BOOTSTRAP,
        ],
    },
    Task { name: "buildvars.read", about: "show the build vars of each node of a stack", more: "", positionals: &[STACK], options: &[] },
    Task {
        name: "buildvars.valid",
        about: "say whether the build vars of each node of a stack can be refreshed",
        more: "Exit code 1 where any cannot.",
        positionals: &[STACK],
        options: &[],
    },
    Task {
        name: "buildvars.refresh",
        about: "derive the build vars of each node of a stack from its context anew",
        more: "Node number and revision are taken over from the old build vars, which have to be valid.",
        positionals: &[STACK],
        options: &[],
    },
    Task {
        name: "buildvars.fix",
        about: "write the build vars of each node of a stack anew where they are broken or missing",
        more: "Valid build vars are left alone: buildvars.refresh brings those up to date.",
        positionals: &[STACK],
        options: &[],
    },
    Task {
        name: "context.show",
        about: "show the stored context of a stack, as it is stored",
        more: "",
        positionals: &[STACK],
        options: &[],
    },
    Task {
        name: "context.history",
        about: "list the replaced contexts of a stack, oldest first",
        more: "",
        positionals: &[STACK],
        options: &[],
    },
    Task {
        name: "context.diff",
        about: "show what changed between a replaced context and the current one",
        more: "",
        positionals: &[
            STACK,
            Positional { required: false, about: "a revision that context.history lists; else the last one replaced", ..REVISION },
        ],
        options: &[],
    },
    Task {
        name: "context.restore",
        about: "put a replaced context of a stack back, byte for byte",
        more: "What is replaced by that becomes history, too.",
        positionals: &[STACK, REVISION],
        options: &[],
    },
    Task {
        name: "lock.status",
        about: "show who is changing the fleet at the moment, and when they were last heard of",
        more: "",
        positionals: &[],
        options: &[],
    },
    Task {
        name: "lock.break",
        about: "take the fleet's lock from a holder that is gone",
        more: "For a lock in S3, which outlives its holder's process. Asks for the holder's name to be typed; --yes answers. A holder that is alive \
               after all hears of it, with the reason, and begins nothing more. A lock on this machine goes with its process: end that.",
        positionals: &[Positional {
            name: "reason",
            shows: "REASON",
            about: "why, in your words, in quotes where it has blanks; it is recorded",
            example: "laptop-lost",
            required: true,
        }],
        options: &[],
    },
    Task {
        name: "sandbox.create",
        about: "make up a fleet to try things on, in .bldr/sandbox",
        more: "Without a file and without a number: a small fleet with something of everything.",
        positionals: &[Positional {
            name: "file",
            shows: "FILE",
            about: "a YAML file that describes the fleet",
            example: "fleet.yaml",
            required: false,
        }],
        options: &[Opt { name: "minions", kind: Kind::Count, default: "none", about: "make up this many minions instead" }],
    },
    Task {
        name: "sandbox.show",
        about: "show what each node of the sandbox really does: its master, its trusted key, what is due",
        more: "",
        positionals: &[],
        options: &[],
    },
    Task {
        name: "sandbox.deploy_key",
        about: "register a public key with the git hosts of the sandbox, as one does on their pages",
        more: "",
        positionals: &[Positional {
            name: "file",
            shows: "FILE",
            about: "the public key that was fetched from a master",
            example: "/tmp/id_rsa.pub",
            required: true,
        }],
        options: &[],
    },
    Task { name: "sandbox.reset", about: "put the sandbox back to how it was created", more: "", positionals: &[], options: &[] },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_with_either_of_the_two_dashes() {
        assert_eq!(Task::named("master.remaster-all").map(|t| t.name), Some("master.remaster_all"));
        assert_eq!(Task::named("master.remaster_all").map(|t| t.name), Some("master.remaster_all"));
        assert!(Task::named("master").is_none());
    }

    #[test]
    fn no_task_takes_two_things_by_one_name() {
        for task in TASKS {
            let mut names: Vec<_> = task.positionals.iter().map(|p| p.name).collect();
            names.extend(task.options.iter().chain(GLOBAL).map(|o| o.name));
            let all = names.len();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), all, "{}", task.name);
        }
    }

    #[test]
    fn optional_arguments_come_last() {
        for task in TASKS {
            assert!(task.positionals.is_sorted_by_key(|p| !p.required), "{}", task.name);
        }
    }
}
