"""Without an event loop: four threads and one engine."""

from concurrent.futures import ThreadPoolExecutor

from interpreter_tools import blocking


def main() -> None:
    """Run a program in each thread, then stream one and keep files in a session."""
    with blocking.Engine() as engine:
        with ThreadPoolExecutor(4) as threads:
            runs = [threads.submit(engine.run, "python", f"print({number} ** 2)") for number in range(4)]
            print("squares:", *(run.result().stdout.strip() for run in runs))
        with engine.stream("shell", "for n in 1 2 3; do echo $n; done") as execution:
            for chunk in execution:
                print(chunk.text, end="")
        with engine.session() as session:
            session.run("python", "open('note.txt', 'w').write('kept')")
            print("note:", session.read_file("note.txt").decode())


if __name__ == "__main__":
    main()
