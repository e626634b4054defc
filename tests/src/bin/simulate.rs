//! Runs seeds of the simulation, on as many threads as there are cores.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program that reports")]

use std::{
    process::ExitCode,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use clap::Parser;
use journeys::simulation::{
    fault::{FaultKind, Recovery, Violation},
    mutant::Mutant,
    run::{Outcome, run},
    scenario::Scenario,
    tally::Tally,
};

/// From so many seeds on, each kind of fault and each recovery must have been met often enough.
const COVERED_FROM: u64 = 1_000;
const FAULTS_MIN: u64 = 100;
const RECOVERIES_MIN: u64 = 50;

/// Within so many seeds each mutant must be caught.
const MUTANT_SEEDS: u64 = 50;

/// Runs the pipeline through everything that goes wrong, seed by seed.
#[derive(Parser, Debug)]
struct Options {
    /// How many seeds.
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 1)]
    seed_start: u64,
    /// The report as one line of JSON, the last.
    #[arg(long)]
    json: bool,
    /// Runs each mutant until it is caught, in place of the functions as they are.
    #[arg(long)]
    mutants: bool,
    /// One mutant alone.
    #[arg(long)]
    mutant: Option<String>,
    /// Runs each seed twice, and holds the two runs to each other.
    #[arg(long)]
    twice: bool,
    /// Threads; as many as cores by default.
    #[arg(long)]
    threads: Option<usize>,
    /// Prints everything that happens: for one seed.
    #[arg(long)]
    log: bool,
    /// Prints what each seed is about.
    #[arg(long)]
    scenario: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let threads =
        options.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get));
    if options.mutants || options.mutant.is_some() {
        return mutants(&options, threads);
    }
    let began = Instant::now();
    let (total, failed) = seeds(&options, threads);
    let seconds = began.elapsed().as_secs_f64();
    let uncovered = uncovered(&total);
    let is_covered = uncovered.is_empty() || options.seeds < COVERED_FROM;
    let mut report = total.json();
    report["failed_seeds"] = failed.clone().into();
    report["uncovered"] = uncovered.clone().into();
    report["seconds"] = ((seconds * 10.0).round() / 10.0).into();
    report["seeds_per_second"] = ((options.seeds as f64 / seconds * 100.0).round() / 100.0).into();
    if options.json {
        println!("{report}");
    } else {
        println!("{}", serde_json::to_string_pretty(&report).unwrap_or_default());
    }
    if !is_covered {
        eprintln!("simulate: met too seldom: {}", uncovered.join(", "));
    }
    if failed.is_empty() && is_covered { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn seeds(options: &Options, threads: usize) -> (Tally, Vec<u64>) {
    let next = AtomicU64::new(options.seed_start);
    let end = options.seed_start + options.seeds;
    let total = Mutex::new((Tally::default(), Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        return;
                    }
                    let scenario = Scenario::draw(seed);
                    if options.scenario {
                        eprintln!("{scenario:#?}");
                    }
                    let mut outcome = run(scenario.clone(), None, options.log);
                    for line in &outcome.lines {
                        println!("{line}");
                    }
                    if options.twice && run(scenario, None, false).log_hash != outcome.log_hash {
                        let why = || "a second run of the seed was another one".to_owned();
                        outcome.tally.violation(Violation::Differing, why);
                    }
                    if !outcome.tally.is_clean() {
                        complain(seed, &outcome);
                    }
                    let Ok(mut total) = total.lock() else { return };
                    total.0.add(&outcome.tally);
                    if !outcome.tally.is_clean() {
                        total.1.push(seed);
                    }
                }
            });
        }
    });
    let (total, mut failed) = total.into_inner().unwrap_or_default();
    failed.sort_unstable();
    (total, failed)
}

fn complain(seed: u64, outcome: &Outcome) {
    let mut text = format!("seed {seed} failed; again with: scripts/simulate --seeds 1 --seed-start {seed}\n");
    for (violation, count) in &outcome.tally.violations {
        text.push_str(&format!("  {violation}: {count}\n"));
        for (_, why) in outcome.tally.reasons.iter().filter(|(kind, _)| kind == violation) {
            text.push_str(&format!("    {why}\n"));
        }
    }
    eprint!("{text}");
}

fn uncovered(total: &Tally) -> Vec<String> {
    let faults = FaultKind::ALL.iter().filter(|kind| total.faults.get(kind).copied().unwrap_or(0) < FAULTS_MIN);
    let recoveries =
        Recovery::ALL.iter().filter(|kind| total.recoveries.get(kind).copied().unwrap_or(0) < RECOVERIES_MIN);
    faults.map(ToString::to_string).chain(recoveries.map(ToString::to_string)).collect()
}

/// Each mutant, seed after seed until one that is clean without it is not clean with it.
fn mutants(options: &Options, threads: usize) -> ExitCode {
    let chosen: Vec<Mutant> = (Mutant::ALL.iter().copied())
        .filter(|mutant| options.mutant.as_deref().is_none_or(|name| name == mutant.name()))
        .collect();
    if chosen.is_empty() {
        let names: Vec<_> = Mutant::ALL.iter().map(|mutant| mutant.name()).collect();
        eprintln!("simulate: there is no mutant of that name; there are {}", names.join(", "));
        return ExitCode::from(2);
    }
    let next = AtomicU64::new(0);
    let survivors = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed) as usize;
                    let Some(mutant) = chosen.get(index).copied() else { return };
                    if !is_caught(mutant, options) {
                        eprintln!("simulate: the mutant {} is not caught within {MUTANT_SEEDS} seeds", mutant.name());
                        if let Ok(mut survivors) = survivors.lock() {
                            survivors.push(mutant.name());
                        }
                    }
                }
            });
        }
    });
    let survivors = survivors.into_inner().unwrap_or_default();
    println!("mutants: {} passed, {} failed", chosen.len() - survivors.len(), survivors.len());
    if survivors.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn is_caught(mutant: Mutant, options: &Options) -> bool {
    for seed in options.seed_start..options.seed_start + MUTANT_SEEDS {
        // A mutant changes bodies, which a signature would show.
        let scenario = Scenario { signs: false, ..Scenario::draw(seed) };
        let outcome = run(scenario.clone(), Some(mutant), options.log);
        for line in &outcome.lines {
            println!("{line}");
        }
        if outcome.tally.is_clean() || !run(scenario, None, false).tally.is_clean() {
            continue;
        }
        let checks: Vec<String> =
            outcome.tally.violations.iter().map(|(violation, count)| format!("{violation} {count}")).collect();
        println!("mutant {}: caught by seed {seed}: {}", mutant.name(), checks.join(", "));
        return true;
    }
    false
}
