"""pytest plugin: nbval takes notebooks as they are saved, and operates their widgets in the end."""

import json
from pathlib import Path

import nbformat
import pytest
from nbval.plugin import IPyNbCell

_OPERATE = f"""\
import json, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from widget_probe import operate_all
print("moves", json.dumps(operate_all()))
"""


class WidgetItem(IPyNbCell):
    """One more cell of a notebook, which moves every control."""

    def runtest(self) -> None:
        super().runtest()
        printed = "".join(output.text for output in self.test_outputs if "text" in output)
        moves = json.loads(printed.rpartition("moves ")[2])
        if moves:
            self.user_properties.append(("moves", [len(moves), *max(moves)]))

    def reportinfo(self):
        return self.path, None, f"{self.path.name}::widgets"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    last_cells = {item.parent: item for item in items if isinstance(item, IPyNbCell)}
    for item in items:
        if isinstance(item, IPyNbCell) and item.cell.get("outputs"):
            item.cell.execution_count = 1  # nbval takes it for run: saved notebooks have no counts
    for notebook, last_cell in last_cells.items():
        widgets = WidgetItem.from_parent(
            notebook,
            name="widgets",
            cell_num=last_cell.cell_num + 1,
            cell=nbformat.v4.new_code_cell(_OPERATE),
            options={"check": False, "check_exception": False, "skip": False},
        )
        items.insert(items.index(last_cell) + 1, widgets)


def pytest_terminal_summary(terminalreporter) -> None:
    lines = [
        f"{report.nodeid}: {count} moves; most costly, {seconds:.2f} s: {action}"
        for report in terminalreporter.getreports("passed")
        for name, value in report.user_properties
        if name == "moves" and report.when == "call"
        for count, seconds, action in [value]
    ]
    if lines:
        terminalreporter.section("live widgets, processor time")
        terminalreporter.write_line("\n".join(lines))
