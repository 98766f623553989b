"""Write every generated file: `python -m contract`."""

from contract.files import generated, write

for path in write(generated()):
    print(path)
