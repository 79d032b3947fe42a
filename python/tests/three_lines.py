"""What the package does where nothing else is installed: run by each Python there is."""

import mc2

with mc2.connect() as enclave:
    result = enclave.sql("select 6 * 7 as answer")
    assert len(result) == 1 and result.receipt.verify()
print("done")
