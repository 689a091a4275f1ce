//! The program `bldr`. Everything it does is in the library, where tests can reach it.

fn main() -> std::process::ExitCode {
    bldr_cli::run(std::env::args_os().skip(1)).into()
}
