//! `homeroom`: the program. What it can do stands in `commands`.

fn main() -> std::process::ExitCode {
    node::commands::main()
}
