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
        if part.name in self.parts:
            self.parts[part.name].quantity += part.quantity
        else:
            self.parts[part.name] = part

    def take(self, name: str, quantity: int = 1) -> Part:
        part = self.parts.get(name)
        if part is None or part.quantity < quantity:
            raise OutOfStockError(name)
        part.quantity -= quantity
        logger.info("took %d of %s", quantity, name)
        return part

    def total(self) -> int:
        return sum(part.value for part in self.parts.values())

    def by_category(self) -> dict[str, list[Part]]:
        groups = defaultdict(list)
        for part in self.parts.values():
            groups[part.category].append(part)
        return dict(groups)

    def running_low(self, limit: int = 3) -> list[Part]:
        low = [part for part in self.parts.values() if part.quantity < limit]
        return sorted(low, key=lambda part: part.quantity)


def read_inventory(path: Path) -> Inventory:
    inventory = Inventory()
    with open(path, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            inventory.add(
                Part(row["name"], row["category"], int(row["quantity"]), int(row["price"]))
            )
    return inventory


def write_inventory(path: Path, inventory: Inventory) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=FIELDS)
        writer.writeheader()
        for part in inventory.parts.values():
            writer.writerow(asdict(part))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, help="the CSV file")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    inventory = read_inventory(arguments.file)
    if arguments.json:
        print(json.dumps([asdict(part) for part in inventory.parts.values()], indent=2))
        return 0
    for category, parts in sorted(inventory.by_category().items()):
        print(category)
        for part in parts:
            print("   ", part)
    print(f"{len(inventory)} parts worth {inventory.total() / 100:.2f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
