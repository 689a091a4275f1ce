//! How long does a fleet of ten thousand minions take, beside what it must take at least, and what does bldr itself need for it?
//!
//! The minions are simulated. Time is that of a clock which is put forward whenever everybody waits; how long each answer takes is as it was
//! measured with real machines. Prints a table with machine and date.
//!
//! ```console
//! $ cargo run --release -p bldr-testkit --example bench_fleet -- 10000 64
//! ```

mod bench;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse::<usize>());
    let (minions, jobs) = (numbers.next().transpose()?.unwrap_or(10_000), numbers.next().transpose()?.unwrap_or(64));
    println!("{}\n", bldr_testkit::figures::machine_and_date());
    bench::print(&bench::run(minions, jobs)?);
    Ok(())
}
