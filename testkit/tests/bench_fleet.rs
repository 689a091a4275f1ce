//! Does the benchmark of a fleet of ten thousand still run, and is what it says that no machine makes better or worse as it should be?
#![allow(clippy::unwrap_used)]

#[path = "../examples/bench_fleet/bench.rs"]
mod bench;

#[test]
fn a_fleet_is_re_mastered_in_hardly_more_than_the_least_it_can_take() {
    let figures = bench::run(10_000, 64).unwrap();
    bench::print(&figures);
    let [remastered, failed, held] = figures.ended;
    assert_eq!(remastered + failed + held, figures.minions);
    // One machine in 500 does not answer, and the rest of its project is held.
    assert!((1..=40).contains(&failed) && held <= failed * 9, "{figures:?}");
    assert!((1.0..=1.05).contains(&figures.beside_the_least()), "{figures:?}");
    assert!(figures.calls[0] <= figures.minions * 18 && figures.calls[1] <= figures.minions * 2, "{figures:?}");
}
