//! What can be asked, and what comes back? Question, Answer and Answerer, and what is asked of whole traces: the contract between those who ask (api, later
//! diagnose and alert) and the engine that answers. Languages other than SQL will parse to a [`Question`] here.

mod answer;
mod question;
pub mod traces;

pub use answer::{Answer, Answerer, Coverage, Report};
pub use question::{Limits, Parameter, Question};
