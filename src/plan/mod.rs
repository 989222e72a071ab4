//! What a sweep will do, before anything is done: recipes, suites, prompts, the matrix of trials and the keys
//! under which their results are kept.

pub mod agent;
pub mod capability;
pub mod catalogue;
pub mod chat;
pub mod check;
pub mod config;
pub mod conversation;
pub mod corpus;
pub mod error;
pub mod fingerprint;
pub mod generate;
pub mod haystack;
pub mod import;
pub mod items;
pub mod judging;
pub mod ladder;
pub mod layers;
pub mod literal;
pub mod marking;
pub mod matrix;
pub mod native_command;
pub mod noise;
pub mod overlap;
pub mod part;
pub mod preset;
pub mod recipe;
pub mod recipe_file;
pub mod rows;
pub mod slurm;
pub mod speculation;
pub mod speed;
pub mod suite;
pub mod target;
pub mod template;
pub mod text;
