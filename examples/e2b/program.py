# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportAttributeAccessIssue=false, reportUnknownArgumentType=false
"""An unchanged program for E2B: it knows nothing of this library.

Start ``interpreter-tools serve``, paste the exports that it prints (``E2B_API_URL``, ``E2B_SANDBOX_URL``,
``E2B_API_KEY``), and run this file, which needs ``pip install e2b-code-interpreter``.
"""

from e2b_code_interpreter import Sandbox

with Sandbox.create() as sandbox:
    sandbox.files.write("/home/user/sales.csv", "month,sold\nMay,3\nJune,4\nJuly,5\n")
    sandbox.run_code("import csv\nrows = list(csv.DictReader(open('sales.csv')))")
    execution = sandbox.run_code("sum(int(row['sold']) for row in rows)")
    print("sold:", execution.text)

    execution = sandbox.run_code("rows[0]['price']")
    if execution.error:
        print("error:", execution.error.name, execution.error.value)

    result = sandbox.commands.run("wc -l < sales.csv")
    print("lines:", result.stdout.strip())

    for entry in sandbox.files.list("/home/user"):
        print("file:", entry.path, entry.size)
