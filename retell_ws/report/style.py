"""How the page of a report looks: light and dark as the reader's system is, on paper, and on a phone. No I/O.

The colours of marks are those of Okabe and Ito, which people tell apart whatever colours they see; nothing is told by
colour alone.
"""

from __future__ import annotations

from typing import Final

__all__ = ["STYLE"]

STYLE: Final = """
:root {
  color-scheme: light dark;
  --page: #f5f6f8; --card: #fff; --edge: #e3e6eb; --ink: #1a2029; --soft: #5d6776; --faint: #eceff3; --grid: #e6e9ee;
  --blue: #0072b2; --sky: #4fa9dd; --orange: #d98200; --green: #009e73; --red: #d55e00; --pink: #bb6795;
  --grey: #98a2b0;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #101419; --card: #181d24; --edge: #2a313b; --ink: #e7ebf0; --soft: #9aa5b3; --faint: #242b35;
    --grid: #29303a;
    --blue: #4aa8e0; --sky: #8ccbf0; --orange: #efb03a; --green: #2cc498; --red: #f0803c; --pink: #dd9dc1;
    --grey: #737e8c;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto,
  "Helvetica Neue", "Noto Sans", "DejaVu Sans", sans-serif; -webkit-text-size-adjust: 100%;
}
main { max-width: 1200px; margin: 0 auto; padding: 28px 20px 48px; }
header { display: flex; flex-wrap: wrap; align-items: baseline; gap: 2px 16px; margin-bottom: 18px; }
h1 { font-size: 24px; line-height: 1.2; margin: 0; letter-spacing: -0.01em; }
h2 { font-size: 16px; line-height: 1.3; margin: 0; }
p { margin: 0; }
header p, .note { color: var(--soft); }
.note { font-size: 13px; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px; margin-bottom: 16px; }
.tile, .card { background: var(--card); border: 1px solid var(--edge); border-radius: 10px; }
.tile { padding: 12px 16px 14px; }
.tile dt { color: var(--soft); font-size: 13px; }
.tile dd { margin: 0; }
.tile .value { font-size: 26px; line-height: 1.25; font-weight: 650; letter-spacing: -0.015em; }
.tile .value, td, .key b { font-variant-numeric: tabular-nums; }
.cards { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 16px; }
.card { padding: 16px 18px 18px; min-width: 0; }
.card.whole { grid-column: 1 / -1; }
.card > * + *, .card > .key { margin-top: 10px; }
.card > h2 + .note { margin-top: 2px; }
.card h3 { font-size: 13px; font-weight: 600; color: var(--soft); margin: 18px 0 0; }
.none { color: var(--soft); padding: 10px 0 4px; }
.scroll { overflow-x: auto; margin-left: -4px; margin-right: -4px; padding: 0 4px; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th { color: var(--soft); font-weight: 500; font-size: 13px; text-align: left; white-space: nowrap; }
th, td { padding: 6px 14px 6px 0; border-bottom: 1px solid var(--edge); vertical-align: middle; }
th:last-child, td:last-child { padding-right: 0; }
tbody tr:last-child td { border-bottom: 0; }
tfoot td { border-top: 1px solid var(--edge); border-bottom: 0; font-weight: 600; }
.n { text-align: right; white-space: nowrap; }
td.wide { width: 34%; min-width: 90px; }
td.id { font: 12.5px/1.45 ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  overflow-wrap: anywhere; min-width: 130px; }
td.word { overflow-wrap: anywhere; min-width: 110px; }
.key li, .tile dd { overflow-wrap: anywhere; min-width: 0; }
small { color: var(--soft); font-size: 13px; }
.key { margin: 0; display: flex; flex-wrap: wrap; gap: 4px 18px; font-size: 13px; color: var(--soft); padding: 0;
  list-style: none; }
.key li::before { content: ""; display: inline-block; width: 10px; height: 10px; border-radius: 3px; margin-right: 6px;
  background: var(--mark, var(--grey)); }
.key li.dashed::before { height: 0; width: 14px; border-radius: 0; border-top: 2px dashed var(--red); background: none;
  vertical-align: 3px; }
.key b { color: var(--ink); font-weight: 600; }
svg { display: block; overflow: visible; }
svg.chart { width: 100%; height: auto; } svg.dot { display: inline-block; vertical-align: -1px; margin-right: 4px; }
.narrow { display: none; }
svg text { fill: var(--soft); font-size: 12px; font-variant-numeric: tabular-nums; }
svg .grid { stroke: var(--grid); } svg .axis { stroke: var(--grey); opacity: .6; }
svg line.limit { stroke: var(--red); stroke-width: 1.5; stroke-dasharray: 5 4; }
svg polyline { fill: none; stroke-width: 2.2; stroke-linejoin: round; stroke-linecap: round; }
svg .target { fill: var(--ink); opacity: 0; } svg .target:hover { opacity: .06; }
svg .rest { fill: var(--faint); }
svg .reach { fill: var(--blue); opacity: .3; }
svg.bar circle { stroke: var(--card); stroke-width: 1.5; }
svg circle.p0 { fill: var(--blue); } svg circle.p1 { fill: var(--orange); } svg circle.p2 { fill: var(--grey); }
.blue { --mark: var(--blue); } .sky { --mark: var(--sky); } .orange { --mark: var(--orange); }
.green { --mark: var(--green); } .red { --mark: var(--red); } .pink { --mark: var(--pink); }
.grey { --mark: var(--grey); }
svg rect.blue, svg rect.sky, svg rect.orange, svg rect.green, svg rect.red, svg rect.pink, svg rect.grey,
svg circle.blue, svg circle.orange { fill: var(--mark); }
svg polyline.blue, svg polyline.orange { stroke: var(--mark); }
footer { color: var(--soft); font-size: 13px; margin-top: 20px; }
@media (max-width: 860px) { .cards { grid-template-columns: minmax(0, 1fr); } }
@media (max-width: 640px) {
  main { padding: 18px 12px 32px; } .card { padding: 14px 14px 16px; }
  .tiles { grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 10px; } .tile { padding: 10px 12px 12px; }
  .tile .value { font-size: 22px; }
  .broad, .minor { display: none; } .narrow { display: block; }
  table { font-size: 13px; } th { font-size: 12px; } th, td { padding-right: 9px; }
}
@media print {
  :root { --page: #fff; --card: #fff; --edge: #ccc; --ink: #000; --soft: #444; --faint: #eee; --grid: #e2e2e2;
    --blue: #0072b2;
    --sky: #4fa9dd; --orange: #d98200; --green: #009e73; --red: #d55e00; --pink: #bb6795; --grey: #8a93a0; }
  * { -webkit-print-color-adjust: exact; print-color-adjust: exact; }
  body { font-size: 12px; } main { max-width: none; padding: 0; } .card, .tile { break-inside: avoid; }
}
"""
