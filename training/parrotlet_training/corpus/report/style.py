"""The style sheet of the page."""

STYLE = """
:root {
  --paper: #ffffff; --ink: #1c1e21; --quiet: #5b616b; --rule: #d9dce1; --panel: #f5f6f8;
  --bar: #2f6fab; --rest: #a9b1bc; --link: #1a5fa8;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #15171b; --ink: #e4e6ea; --quiet: #a0a7b3; --rule: #353a43; --panel: #1e2127;
    --bar: #6aa9e0; --rest: #5d6672; --link: #8abdf0;
  }
}
* { box-sizing: border-box; }
html { scroll-behavior: smooth; scroll-padding-top: 1rem; }
body {
  margin: 0; background: var(--paper); color: var(--ink);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif;
}
a { color: var(--link); }
a:focus-visible, pre:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; }
nav { padding: 1rem 1.5rem 0; font-size: .9rem; }
nav p { font-weight: 600; margin: 0 0 .5rem; overflow-wrap: anywhere; }
nav ol { list-style: none; margin: 0; padding: 0; columns: 2; }
nav li { margin: .15rem 0; break-inside: avoid; }
nav a { text-decoration: none; }
nav a:hover { text-decoration: underline; }
main { max-width: 52rem; margin: 0 auto; padding: 1rem 1.5rem 4rem; }
@media (min-width: 72rem) {
  nav {
    position: fixed; top: 0; bottom: 0; left: 0; width: 15.5rem; overflow-y: auto;
    padding: 2rem 1rem 2rem 1.5rem; border-right: 1px solid var(--rule);
  }
  nav ol { columns: 1; }
  nav li { margin: .35rem 0; }
  body { padding-left: 15.5rem; }
  main { padding-top: 1.5rem; }
}
h1 { font-size: 1.8rem; line-height: 1.2; margin: .3rem 0; overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; margin: 2.8rem 0 .8rem; }
.quiet { color: var(--quiet); font-size: .9rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .8rem; }
.tiles div {
  background: var(--panel); border-radius: .4rem; padding: .7rem .9rem;
  display: flex; flex-direction: column-reverse; justify-content: flex-end;
}
.tiles dt { color: var(--quiet); font-size: .85rem; line-height: 1.3; }
.tiles dd { margin: 0; font-size: 1.4rem; font-weight: 600; }
.findings dt { font-weight: 600; margin-top: .9rem; }
.findings dd { margin: .1rem 0 0; }
svg { display: block; width: 100%; height: auto; margin: .5rem 0; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .875rem; width: 100%; margin: .6rem 0; }
th, td {
  text-align: left; padding: .28rem .8rem .28rem 0; border-bottom: 1px solid var(--rule);
  vertical-align: top;
}
th { font-weight: 600; color: var(--quiet); }
.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
code, pre { font-family: ui-monospace, "Cascadia Mono", Menlo, Consolas, monospace; }
td code { font-size: .8125rem; }
figure { margin: 1.6rem 0; }
figcaption { font-size: .875rem; overflow-wrap: anywhere; }
.code {
  background: var(--panel); border-radius: .4rem; padding: .9rem 1rem; margin: .4rem 0 0;
  font-size: .8125rem; line-height: 1.45; overflow-x: auto;
}
@media print { nav { display: none; } body { padding: 0; } }
""".strip()
