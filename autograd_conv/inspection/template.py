"""The page that `page` fills in: style and script, all in one, nothing from a network.

``$TITLE``, ``$GRAPH``, ``$LEGEND`` and ``$DATA`` are replaced. The script puts texts into the page as texts, never as
HTML.
"""

from __future__ import annotations

__all__ = ["TEMPLATE"]

TEMPLATE = r"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$TITLE</title>
<style>
* { box-sizing: border-box; }
html, body { height: 100%; margin: 0; }
body { display: flex; flex-direction: column; background: #f4f5f7; color: #1f2733;
  font: 14px/1.45 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
header { display: flex; flex-wrap: wrap; align-items: center; gap: 6px 18px; padding: 9px 18px; background: #ffffff;
  border-bottom: 1px solid #d9dde3; }
h1 { margin: 0; font-size: 17px; }
#about { color: #5b6370; }
.controls { display: flex; align-items: center; gap: 6px; flex: 1 1 380px; }
button { min-width: 38px; height: 30px; padding: 0 9px; border: 1px solid #c3c9d2; border-radius: 6px;
  background: #ffffff; color: inherit; font: inherit; cursor: pointer; }
button:hover:enabled { background: #eef3fa; border-color: #3d6fb0; }
button:disabled { color: #b4b8bf; cursor: default; }
input[type=range] { flex: 1; min-width: 120px; accent-color: #c2410c; }
#where { min-width: 108px; text-align: right; font-variant-numeric: tabular-nums; }
.scale { display: flex; align-items: center; gap: 6px; font-size: 12px; color: #3f4651; }
.scale img { width: 150px; height: 12px; border: 1px solid #c3c9d2; }
.scale i { display: inline-block; width: 11px; height: 11px; margin-left: 5px; border: 1px solid #888; }
main { flex: 1; display: flex; min-height: 0; }
#graph { flex: 0 0 43%; overflow: auto; padding: 10px; background: #ffffff; border-right: 1px solid #d9dde3; }
#graph svg { display: block; margin: 0 auto; max-width: max(100%, 520px); height: auto; }
#record { flex: 1; overflow: auto; padding: 16px 22px 60px; }
@media (max-width: 900px) {
  main { display: block; overflow: auto; } #graph { height: 45vh; border-right: 0; } #record { overflow: visible; }
}
h2 { margin: 0 0 2px; font-size: 20px; }
h3 { margin: 20px 0 8px; font-size: 12px; letter-spacing: .06em; text-transform: uppercase; color: #5b6370; }
code, pre { font-family: ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; font-size: 12.5px; }
.line { color: #5b6370; }
.line code { color: #1f2733; }
.card { margin: 0 0 12px; padding: 12px 14px; background: #ffffff; border: 1px solid #d9dde3; border-radius: 8px; }
.card h4 { margin: 0 0 6px; font-size: 14px; }
.card.rule { border-left: 4px solid #c2410c; }
.columns { display: flex; flex-wrap: wrap; gap: 14px 22px; align-items: flex-start; }
.formula { margin: 0 0 8px; padding: 8px 10px; background: #fdf4ec; border-radius: 5px; white-space: pre-wrap; }
.source { margin: 0; padding: 8px 10px; background: #f1f3f6; border-radius: 5px; white-space: pre-wrap;
  overflow-wrap: anywhere; }
.text { flex: 1 1 340px; min-width: 0; }
.note { color: #5b6370; font-size: 12.5px; margin: 0 0 8px; white-space: pre-wrap; }
figure { margin: 0; }
figure img { display: block; max-width: 100%; image-rendering: pixelated; border: 1px solid #c3c9d2; }
figcaption { margin-top: 4px; font-size: 12px; color: #3f4651; max-width: 640px; }
figcaption .name { font-weight: 600; color: #1f2733; }
figcaption .left-out { color: #8a5200; }
figcaption .bad { color: #ffffff; background: #1f2733; border-radius: 3px; padding: 0 4px; }
.value { font: 600 20px ui-monospace, "DejaVu Sans Mono", monospace; }
svg .box { cursor: pointer; }
svg .box.current .bounds { stroke: #c2410c; stroke-width: 9; stroke-opacity: .5; }
svg .box.done .shape { stroke-width: 2.6; }
svg .box.waiting { opacity: .55; }
svg .edge.current path:first-child { stroke: #c2410c; stroke-width: 3; }
svg .edge.current path:last-of-type { fill: #c2410c; }
</style>
</head>
<body>
<header>
<h1>$TITLE</h1><span id="about"></span>
<div class="controls">
<button id="first" title="to the start of the sweep (Home)">|&#x25C0;&#xFE0E;</button>
<button id="back" title="a record back (left arrow)">&#x25C0;&#xFE0E;</button>
<button id="next" title="the next record (right arrow)">&#x25B6;&#xFE0E;</button>
<button id="last" title="to the gradients (End)">&#x25B6;&#xFE0E;|</button>
<input id="slider" type="range" min="0" value="0" aria-label="step of the sweep">
<span id="where"></span>
</div>
<div class="scale">&minus;max <img src="$LEGEND" alt="colours from blue over white to red"> +max
<i style="background:#000000"></i>NaN<i style="background:#9c27b0"></i>+inf
<i style="background:#009651"></i>&minus;inf</div>
</header>
<main><div id="graph">$GRAPH</div><div id="record" tabindex="0"></div></main>
<noscript>This page needs JavaScript, which is in this file; it loads nothing.</noscript>
<script type="application/json" id="data">$DATA</script>
<script>
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const steps = data.steps, panel = document.getElementById("record"), slider = document.getElementById("slider");
let now = 0;

function make(tag, className, ...children) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  node.append(...children.filter(child => child !== null));
  return node;
}

function figure(name, number) {
  const p = data.pictures[number];
  const result = make("figure", "");
  if (p.src) {
    const image = make("img", "");
    image.src = p.src; image.width = p.width; image.height = p.height; image.alt = name;
    result.append(image);
  } else if (p.value !== undefined) {
    result.append(make("div", "value", p.value));
  }
  const facts = [p.shape + " " + p.dtype];
  if (p.least !== undefined && p.src) facts.push("min " + p.least, "max " + p.greatest, "norm " + p.norm,
    "colours \u00b1" + p.largest);
  const caption = make("figcaption", "", make("span", "name", name), " \u00b7 " + facts.join(" \u00b7 "));
  if (p.bad) caption.append(" ", make("span", "bad", p.bad + " not finite"));
  if (p.note) caption.append(make("br", ""), make("span", "left-out", p.note));
  result.append(caption);
  return result;
}

function rule(r) {
  const text = make("div", "text",
    r.formula ? make("pre", "formula", r.formula) : null,
    r.doc ? make("p", "note", r.doc) : null,
    r.source ? make("pre", "source", r.source) : null);
  const pictures = make("div", "");
  for (const [name, number] of r.pictures) pictures.append(figure(name, number));
  return make("div", "card rule", make("h4", "", r.title), make("div", "columns", text, pictures));
}

function shown(title, pictures) {
  if (!pictures.length) return [];
  const card = make("div", "card columns");
  for (const [name, number] of pictures) card.append(figure(name, number));
  return [make("h3", "", title), card];
}

function show(step) {
  now = Math.max(0, Math.min(steps.length - 1, step));
  const s = steps[now];
  panel.replaceChildren(make("h2", "", s.title));
  if (s.line) panel.append(make("div", "line", s.line + (s.code ? ": " : ""), make("code", "", s.code)));
  if (s.doc) panel.append(make("p", "note", s.doc));
  panel.append(...shown(s.arrivedTitle, s.arrived));
  if (s.rules.length) panel.append(make("h3", "", "What the rules make of it"), ...s.rules.map(rule));
  panel.append(...shown("Forward values that the tape kept", s.forward));
  if (s.kept.length) panel.append(make("p", "note", "Also kept: " + s.kept.join(", ")));
  panel.scrollTop = 0;
  slider.value = now;
  document.getElementById("where").textContent = "step " + (now + 1) + " of " + steps.length;
  document.getElementById("first").disabled = document.getElementById("back").disabled = now === 0;
  document.getElementById("last").disabled = document.getElementById("next").disabled = now === steps.length - 1;
  const order = new Map(steps.map((other, k) => [other.key, k]));
  for (const box of document.querySelectorAll("#graph .box")) {
    const k = order.get(box.id);
    box.classList.toggle("current", box.id === s.key);
    box.classList.toggle("done", k !== undefined && k < now);
    box.classList.toggle("waiting", k !== undefined && k > now);
    if (box.id === s.key) {
      const graph = document.getElementById("graph");
      const a = box.getBoundingClientRect(), b = graph.getBoundingClientRect();
      graph.scrollTop += (a.top + a.bottom - b.top - b.bottom) / 2;
      graph.scrollLeft += (a.left + a.right - b.left - b.right) / 2;
    }
  }
  for (const edge of document.querySelectorAll("#graph .edge"))
    edge.classList.toggle("current", edge.dataset.to === s.key);
}

document.getElementById("about").textContent = data.about;
slider.max = steps.length - 1;
slider.addEventListener("input", () => show(Number(slider.value)));
document.getElementById("first").addEventListener("click", () => show(0));
document.getElementById("back").addEventListener("click", () => show(now - 1));
document.getElementById("next").addEventListener("click", () => show(now + 1));
document.getElementById("last").addEventListener("click", () => show(steps.length - 1));
document.addEventListener("keydown", event => {
  const to = { ArrowRight: now + 1, ArrowLeft: now - 1, Home: 0, End: steps.length - 1 }[event.key];
  if (to === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  show(to);
});
document.getElementById("graph").addEventListener("click", event => {
  const box = event.target.closest(".box"), k = box ? steps.findIndex(s => s.key === box.id) : -1;
  if (k >= 0) show(k);
  else if (box && box.id.startsWith("leaf")) show(steps.length - 1);
});
show(Number(location.hash.slice(1)) || 0);
</script>
</body>
</html>
"""
