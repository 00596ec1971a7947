//! The `walbrook` binary: hands its arguments to the library and exits with what it answers.

fn main() -> std::process::ExitCode {
    walbrook::commands::run(std::env::args_os().skip(1).collect())
}
