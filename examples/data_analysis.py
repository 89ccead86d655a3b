"""Data analysis over several cells: read a file, look at it, mend a mistake, draw a chart, and take it home."""

import asyncio
import tempfile

from interpreter_tools import ExecutionEngine

SALES = "month,region,amount\n" + "".join(
    f"{month},{region},{100 + 10 * month * (region == 'north') + 3 * number}\n"
    for month in range(1, 7)
    for number, region in enumerate(("north", "south"))
)

CELLS = [
    "import pandas as pd\nsales = pd.read_csv('sales.csv')\nsales.groupby('region').amount.sum()",
    "sales.amout.mean()",
    "by_month = sales.pivot(index='month', columns='region', values='amount')\nby_month.idxmax().to_dict()",
    "import matplotlib.pyplot as plt\nby_month.plot(title='Sales')\nplt.show()",
]


async def main() -> None:
    """Run the cells of one context, as a notebook would, and look at what each shows."""
    async with ExecutionEngine() as engine, engine.session() as session:
        await session.write_file("sales.csv", SALES.encode())
        async with session.context("python", dependencies=["pandas", "matplotlib"], timeout=60) as context:
            for cell in CELLS:
                result = await context.run(cell)
                if result.error is not None:
                    print("error:", result.error.name)
                for shown in result.results:
                    if shown.png is not None:
                        assert shown.chart is not None
                        with tempfile.TemporaryDirectory() as directory:
                            kept = [path.name for path in shown.save(directory)]
                        print("chart:", shown.chart["type"], shown.chart["title"], "- kept:", *kept)
                    elif shown.text:
                        print(shown.text)


if __name__ == "__main__":
    asyncio.run(main())
