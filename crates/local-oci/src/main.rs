//! The emulator as a program.

mod serve;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// An Oracle Cloud on loopback to rehearse in.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Makes a tenancy and serves it until killed.
    Serve(serve::Arguments),
}

#[tokio::main]
async fn main() -> ExitCode {
    let served = match Arguments::parse().command {
        Command::Serve(arguments) => serve::run(arguments).await,
    };
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            #[expect(clippy::print_stderr, reason = "a program says why it ends")]
            {
                eprintln!("local-oci: {error:#}");
            }
            ExitCode::FAILURE
        }
    }
}
