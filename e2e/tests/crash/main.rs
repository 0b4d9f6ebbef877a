//! What the release binary keeps when it is killed, when its files are torn or damaged, and when
//! more comes than it can take.

mod load;
mod pressure;
mod rounds;
mod torn;
