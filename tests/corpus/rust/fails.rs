fn main() {
    println!("before");
    eprintln!("wrong");
    std::process::exit(3);
}
