//! What the program promises its users, held against the program itself: a real sweep of a tiny model, killed,
//! starved, lied to and given bad input; and the layout of the house, held against the source.

mod bad_input;
mod bad_input_disk;
mod calls;
mod cluster;
mod code;
mod compare;
mod corpora;
mod cost;
mod decide;
mod dictionary;
mod escape;
mod eval;
mod fit;
mod generate;
mod haystack;
mod header;
mod imatrix;
mod import;
mod kill;
mod kinds;
mod layering;
mod own_suites;
mod recipes;
mod recommend;
mod records;
mod reference;
mod repairs;
mod sandbox;
mod search;
mod share;
mod speculate;
mod speed;
mod sweep;
mod table;
mod worker;
