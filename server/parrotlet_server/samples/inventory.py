"""Keeps the stock of a small bicycle workshop in a CSV file."""

import argparse
import csv
import json
import logging
from collections import defaultdict
from dataclasses import asdict, dataclass, field
from pathlib import Path

logger = logging.getLogger(__name__)

FIELDS = ["name", "category", "quantity", "price"]


class OutOfStockError(Exception):
    """Raised when more of a part is taken than lies on the shelf."""


@dataclass
class Part:
    """One kind of part, with its price in cents."""

    name: str
    category: str
    quantity: int = 0
    price: int = 0

    @property
    def value(self) -> int:
        """What all of this part is worth."""
        return self.quantity * self.price

    def __str__(self) -> str:
        return f"{self.name}: {self.quantity} at {self.price / 100:.2f}"


@dataclass
class Inventory:
    """All parts of the workshop, by name."""

    parts: dict[str, Part] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.parts)

    def add(self, part: Part) -> None:
        """Put a part on the shelf."""
        if part.name in self.parts:
            self.parts[part.name].quantity += part.quantity
        else:
            self.parts[part.name] = part

    def take(self, name: str, quantity: int = 1) -> Part:
        """Take some of a part off the shelf."""
        part = self.parts.get(name)
        if part is None or part.quantity < quantity:
            raise OutOfStockError(name)
        part.quantity -= quantity
        logger.info("took %d of %s", quantity, name)
        return part

    def total(self) -> int:
        """Return the value of all parts."""
        return sum(part.value for part in self.parts.values())

    def by_category(self) -> dict[str, list[Part]]:
        """Group the parts by their category."""
        groups = defaultdict(list)
        for part in self.parts.values():
            groups[part.category].append(part)
        return dict(groups)

    def running_low(self, limit: int = 3) -> list[Part]:
        """Return the parts of which fewer than `limit` are left."""
        low = [part for part in self.parts.values() if part.quantity < limit]
        return sorted(low, key=lambda part: part.quantity)


def read_inventory(path: Path) -> Inventory:
    """Read an inventory from a CSV file."""
    inventory = Inventory()
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            inventory.add(
                Part(row["name"], row["category"], int(row["quantity"]), int(row["price"]))
            )
    return inventory


def write_inventory(path: Path, inventory: Inventory) -> None:
    """Write an inventory to a CSV file."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=FIELDS)
        writer.writeheader()
        for part in inventory.parts.values():
            writer.writerow(asdict(part))


def report(inventory: Inventory) -> str:
    """Return a list of all parts, one category after the other."""
    lines = []
    for category, parts in sorted(inventory.by_category().items()):
        lines.append(category)
        lines.extend(f"    {part}" for part in parts)
    lines.append(f"{len(inventory)} parts worth {inventory.total() / 100:.2f}")
    return "\n".join(lines)


def main() -> int:
    """Write a report about the stock."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, help="the CSV file")
    parser.add_argument("--json", action="store_true", help="write JSON")
    parser.add_argument("--out", type=Path, default=Path("report.txt"))
    arguments = parser.parse_args()
    inventory = read_inventory(arguments.file)
    if arguments.json:
        text = json.dumps([asdict(part) for part in inventory.parts.values()], indent=2)
    else:
        text = report(inventory)
    arguments.out.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
