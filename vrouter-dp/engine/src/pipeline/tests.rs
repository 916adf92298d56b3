mod exits;
mod frames;
mod golden;
mod random;
