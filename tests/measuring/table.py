"""Tables of figures: a line for each program and a third for their ratio."""

import statistics

MB = lambda v: f"{v / 2**20:.2f} MB"
COUNT = lambda v: f"{v:.0f}"
SECONDS = lambda v: f"{v:.1f} s"
MILLIS = lambda v: f"{v * 1e3:.2f} ms"


def show(result, title, columns):
    """`result` has figures by work and program, `columns` how each is written."""
    print(f"\n{title}\n\n{'':8} {'':11}" + "".join(f"{column:>11}" for column in columns))
    for work in dict.fromkeys(work for work, _ in result):
        for name in ["none", "walbrook", "litestream", "sftp"]:
            if (work, name) in result:
                figures = result[work, name]
                cells = [columns[c](figures[c]) if c in figures else "" for c in columns]
                print(f"{work:8} {name:11}" + "".join(f"{cell:>11}" for cell in cells))
        ours = result[work, "walbrook"]
        theirs = result.get((work, "litestream")) or result[work, "sftp"]
        ratios = [f"{ours[c] / theirs[c]:.3f}" if c in ours and theirs.get(c) else "" for c in columns]
        print(f"{'':8} {'ratio':11}" + "".join(f"{ratio:>11}" for ratio in ratios), flush=True)


def medians(results):
    return {
        key: {column: statistics.median(result[key][column] for result in results) for column in figures}
        for key, figures in results[0].items()
    }
