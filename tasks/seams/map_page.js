"use strict";
// Text from books reaches the page by textContent alone; plotly, which reads tags, gets it escaped.
const DATA = JSON.parse(document.getElementById("data").textContent);
const N = DATA.x.length;
const MANY = 5000;  // so many texts are drawn by WebGL
const NARROW = 600;  // pixels; the names of stars have no room
const FADED = 0.07;
const SEARCH_DELAY_MS = 120;
const ERROR_SCALE = [[0, "#F2C879"], [0.5, "#E0653B"], [0.8, "#A51E44"], [1, "#3B0A35"]];
const INK = "#222222";
const $ = id => document.getElementById(id);
const range = length => Array.from({length}, (_, index) => index);
const is_placed = new Set(DATA.placed);
const is_still = matchMedia("(prefers-reduced-motion: reduce)").matches;
// `group` is the legend entry that alone is shown, `matches` what the search found; null is all.
const state = {colouring: "Cluster", group: null, matches: null, chosen: null};

const COLOURINGS = {
  Cluster: {group: DATA.cluster, groups: DATA.clusters},
  Label: {group: DATA.label, groups: DATA.labels},
  Book: {group: DATA.book, groups: DATA.books},
  Error: null,
};
if (!DATA.label) delete COLOURINGS.Label;

function element(kind, attributes = {}, ...children) {
  const made = document.createElement(kind);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "onclick") made.addEventListener("click", value);
    else if (name === "style") Object.assign(made.style, value);
    else if (value !== null && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter(child => child !== null).map(child => child instanceof Node ? child : String(child)));
  return made;
}

const escaped = text => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
const percent = share => (100 * share).toFixed(share > 0 && share < 0.01 ? 1 : 0) + "%";
const counted = (number, noun) => number.toLocaleString("en") + " " + noun + (number === 1 ? "" : "s");
const dot = colour => element("span", {class: "dot", style: {background: colour}});
const title = text => DATA.books[DATA.book[text]].name;
const origin = text => [title(text), DATA.heading_of[text]].filter(Boolean).join(", ");
const sorted_errors = [...DATA.error].sort((a, b) => a - b);

function better_than(text) {  // the share of the texts that fit their codes better
  return sorted_errors.findIndex(error => error >= DATA.error[text]) / N;
}

function card(text) {
  const cluster = DATA.clusters[DATA.cluster[text]];
  const facts = [["cluster", [dot(cluster.colour), cluster.name]]];
  if (DATA.label) facts.push(["label", [DATA.labels[DATA.label[text]].name]]);
  facts.push(["membership", [percent(DATA.membership[text]) + " its cluster’s"]]);
  facts.push(["error", [DATA.error[text].toPrecision(3) + ", worse than " + percent(better_than(text)) + " of the texts"]]);
  if (DATA.strange[text].length) facts.push(["strange in it", [DATA.strange[text].join(", ")]]);
  if (is_placed.has(text)) facts.push(["★", ["placed later on a finished map"]]);
  return element("div", {class: "card"},
    element("div", {class: "title"}, title(text)),
    element("div", {class: "section"}, DATA.heading_of[text]),
    element("blockquote", {}, DATA.quotation[text]),
    element("dl", {}, ...facts.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, ...value)])));
}

// ---- the map

function is_shown(text) {
  if (state.matches && !state.matches.has(text)) return false;
  return state.group === null || COLOURINGS[state.colouring].group[text] === state.group;
}

function trace(texts, symbol, size) {
  const colouring = COLOURINGS[state.colouring];
  const marker = {
    symbol, size,
    opacity: texts.map(text => is_shown(text) ? 0.85 : FADED),
    line: {color: symbol === "star" ? INK : "white", width: symbol === "star" ? 1 : 0.6},
    color: texts.map(text => colouring ? colouring.groups[colouring.group[text]].colour : DATA.error[text]),
  };
  if (!colouring) Object.assign(marker, {
    colorscale: ERROR_SCALE, cmin: sorted_errors[0], cmax: sorted_errors[N - 1], showscale: symbol !== "star",
    colorbar: {title: {text: "error", side: "top"}, thickness: 12, len: 0.5, x: 1, xanchor: "right", y: 1, yanchor: "top", outlinewidth: 0, bgcolor: "rgba(255,255,255,.85)"},
  });
  return {
    type: N > MANY ? "scattergl" : "scatter", mode: "markers", customdata: texts, hoverinfo: "none", marker,
    x: texts.map(text => DATA.x[text]), y: texts.map(text => DATA.y[text]),
  };
}

const star_names = DATA.star_names.map(({text, x, y, is_left}) => ({
  text: escaped(title(text)), x: DATA.x[text], y: DATA.y[text], ax: x, ay: y, axref: "x", ayref: "y", xanchor: is_left ? "right" : "left",
  arrowhead: 0, arrowwidth: 1, arrowcolor: INK, standoff: 6, bgcolor: "rgba(255,255,255,.92)", bordercolor: "#777777", borderpad: 2, font: {size: 13, color: INK},
}));

const cluster_numbers = DATA.clusters.flatMap((cluster, number) => cluster.middle ? [{
  x: cluster.middle[0], y: cluster.middle[1], text: "<b>" + number + "</b>", showarrow: false, bgcolor: "rgba(255,255,255,.9)",
  bordercolor: cluster.colour, borderwidth: 2.5, borderpad: 3, font: {size: 15, color: INK},
}] : []);

function ring() {
  const texts = state.chosen === null ? [] : [state.chosen];
  return {
    type: "scatter", mode: "markers", hoverinfo: "skip",
    x: texts.map(text => DATA.x[text]), y: texts.map(text => DATA.y[text]),
    marker: {symbol: "circle-open", size: 22, color: INK, line: {color: INK, width: 3}},
  };
}

const layout = {
  uirevision: "keep", showlegend: false, dragmode: "pan", hovermode: "closest", hoverdistance: 12,
  margin: {l: 8, r: 8, t: 8, b: 8}, plot_bgcolor: "white", paper_bgcolor: "white", font: {family: "system-ui, sans-serif", size: 14, color: INK},
  xaxis: {showgrid: false, showticklabels: false, zeroline: false},
  yaxis: {showgrid: false, showticklabels: false, zeroline: false, scaleanchor: "x"},
};
const config = {displaylogo: false, responsive: true, scrollZoom: true, modeBarButtons: [["toImage"], ["zoom2d", "pan2d"], ["zoomIn2d", "zoomOut2d", "resetScale2d"]]};
const stars = range(N).filter(text => is_placed.has(text));
const others = range(N).filter(text => !is_placed.has(text));

function draw() {
  const is_narrow = innerWidth < NARROW, size = N > MANY ? 6 : is_narrow ? 7 : 9;
  const annotations = is_narrow ? cluster_numbers : cluster_numbers.concat(star_names);
  return Plotly.react("map", [trace(others, "circle", size), trace(stars, "star", 16), ring()], {...layout, annotations}, config);
}

function bounds(texts) {
  const span = values => {
    const low = values.reduce((a, b) => Math.min(a, b)), high = values.reduce((a, b) => Math.max(a, b));
    const room = 0.08 * (high - low) || 0.05 * (Math.abs(high) + 1);
    return [low - room, high + room];
  };
  return {"xaxis.range": span(texts.map(text => DATA.x[text])), "yaxis.range": span(texts.map(text => DATA.y[text]))};
}

// ---- what lies under the mouse, and what was chosen

function show_hover(text, x, y) {
  const box = $("hover");
  box.replaceChildren(card(text));
  box.hidden = false;
  const right = x + 18 + box.offsetWidth < innerWidth ? x + 18 : x - 18 - box.offsetWidth;
  box.style.left = Math.max(4, right) + "px";
  box.style.top = Math.max(4, Math.min(y + 14, innerHeight - box.offsetHeight - 8)) + "px";
}

function hide_hover() { $("hover").hidden = true; }

function choose(text, comes_into_view = false) {
  state.chosen = text;
  const walk = step => {
    const texts = DATA.books[DATA.book[text]].texts, there = texts[texts.indexOf(text) + step];
    const go = () => { choose(there); $("pinned").querySelectorAll("button")[step < 0 ? 0 : 1].focus(); };
    return element("button", {type: "button", disabled: there === undefined, onclick: go}, step < 0 ? "← before it" : "after it →");
  };
  $("pinned").replaceChildren(...(text === null ? [] : [card(text), element("div", {class: "walk"},
    walk(-1), walk(1), element("button", {type: "button", onclick: () => choose(null)}, "Let go"))]));
  for (const one of document.querySelectorAll(".strip .chosen")) one.classList.remove("chosen");
  for (const one of document.querySelectorAll(".text[aria-current]")) one.removeAttribute("aria-current");
  if (text !== null) {
    document.querySelector('.strip [data-text="' + text + '"]').classList.add("chosen");
    for (const one of document.querySelectorAll('.text[data-text="' + text + '"]')) one.setAttribute("aria-current", "true");
  }
  if (comes_into_view) $("stage").scrollIntoView({behavior: is_still ? "auto" : "smooth", block: "start"});
  return draw();
}

function neighbour(text, right, up) {  // the nearest text within 45 degrees of the direction
  let nearest = null, least = Infinity;
  for (const other of range(N)) {
    const dx = DATA.x[other] - DATA.x[text], dy = DATA.y[other] - DATA.y[text];
    const along = dx * right + dy * up, across = Math.abs(dx * up - dy * right);
    if (along > 0 && across <= along && along + across < least && is_shown(other)) [nearest, least] = [other, along + across];
  }
  return nearest;
}

const ARROWS = {ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1]};
function map_key(event) {
  if (!ARROWS[event.key]) return;
  event.preventDefault();
  const next = state.chosen === null ? range(N).find(is_shown) : neighbour(state.chosen, ...ARROWS[event.key]);
  if (next !== null && next !== undefined) choose(next);
}

// ---- controls

function colour_by(name) {
  Object.assign(state, {colouring: name, group: null});
  draw_legend();
  return draw();
}

function draw_legend() {
  const colouring = COLOURINGS[state.colouring], entries = [element("h3", {}, state.colouring)];
  if (!colouring) {
    entries.push(element("p", {class: "hint"}, "How badly a text fits its code: the darker, the worse. The worst are the strangers at the end of the page."));
  } else {
    const sizes = colouring.groups.map(() => 0);
    for (const group of colouring.group) sizes[group] += 1;
    entries.push(...colouring.groups.map((group, place) => element("button", {
      type: "button", "aria-pressed": String(state.group === place),
      onclick: () => { state.group = state.group === place ? null : place; draw_legend(); $("legend").querySelectorAll("button")[place].focus(); draw(); },
    }, dot(group.colour), element("span", {}, (group.placed ? "★ " : "") + group.name), element("span", {class: "size"}, sizes[place]))));
  }
  $("legend").replaceChildren(...entries);
}

const haystacks = range(N).map(text => [
  title(text), DATA.heading_of[text], DATA.quotation[text], DATA.strange[text].join(" "),
  DATA.clusters[DATA.cluster[text]].terms.join(" "), DATA.label ? DATA.labels[DATA.label[text]].name : "",
].join("\n").toLocaleLowerCase());

function search() {
  const words = $("search").value.toLocaleLowerCase().split(/\s+/).filter(Boolean);
  state.matches = words.length ? new Set(range(N).filter(text => words.every(word => haystacks[text].includes(word)))) : null;
  $("found").textContent = state.matches ? counted(state.matches.size, "text") : "";
  for (const part of document.querySelectorAll(".strip i")) part.classList.toggle("faded", state.matches !== null && !state.matches.has(Number(part.dataset.text)));
  return draw();
}

let waiting = null;
async function search_key(event) {
  if (event.key === "Escape") {
    $("search").value = "";
    clearTimeout(waiting);
    await search();
    Plotly.relayout("map", {"xaxis.autorange": true, "yaxis.autorange": true});
  } else if (event.key === "Enter") {
    clearTimeout(waiting);
    await search();
    if (!state.matches || !state.matches.size) return;
    const found = [...state.matches];
    await choose(found.includes(state.chosen) ? found[(found.indexOf(state.chosen) + 1) % found.length] : found[0]);
    Plotly.relayout("map", bounds(found));
  }
}

// ---- below the map

function text_button(text, ...more) {
  return element("button", {type: "button", class: "text", "data-text": text, onclick: () => choose(text, true)},
    element("span", {class: "quotation"}, DATA.quotation[text]), element("span", {class: "from"}, origin(text)), ...more);
}

function number_of(cluster) {
  const {colour, light} = DATA.clusters[cluster];
  return element("span", {class: "number" + (light ? " light" : ""), style: {background: colour}}, cluster);
}

function shares_of(texts) {
  const counts = DATA.labels.map(label => ({...label, count: 0}));
  for (const text of texts) counts[DATA.label[text]].count += 1;
  const present = counts.filter(label => label.count).sort((a, b) => b.count - a.count);
  const named = present.slice(0, 3).map(label => element("span", {class: "share"}, dot(label.colour), percent(label.count / texts.length) + " " + label.name));
  if (present.length > 3) named.push(element("span", {class: "share"}, (present.length - 3) + " more"));
  const bar = present.map(label => element("span", {title: label.name + ": " + label.count, style: {background: label.colour, flex: label.count}}));
  return [element("div", {class: "shares", "aria-hidden": "true"}, ...bar), element("p", {}, ...named)];
}

function cluster_card(cluster, number) {
  const texts = range(N).filter(text => DATA.cluster[text] === number);
  const lists = [["Most typical", cluster.typical], ["At the edge", cluster.edge]].filter(([, list]) => list.length);
  return element("article", {class: "cluster", "aria-label": "cluster " + number, style: {borderTopColor: cluster.colour}},
    element("div", {class: "head"}, number_of(number), element("span", {class: "size"}, counted(texts.length, "text"))),
    element("p", {class: "terms"}, element("strong", {}, cluster.terms.slice(0, 4).join(", ")), cluster.terms.length > 4 ? ", " + cluster.terms.slice(4).join(", ") : null),
    ...(DATA.label && texts.length ? shares_of(texts) : []),
    ...lists.flatMap(([name, list]) => [element("h3", {}, name), ...list.map(text => text_button(text))]));
}

function draw_confusion() {
  $("confusion-section").hidden = !DATA.confusion;
  if (!DATA.confusion) return;
  const rows = DATA.confusion.labels.map((label, row) => {
    const counts = DATA.confusion.counts[row], all = counts.reduce((sum, count) => sum + count, 0);
    return element("tr", {}, element("th", {scope: "row"}, label), ...counts.map(count => element("td", {
      style: {background: "rgb(0 114 178 / " + count / all + ")", color: count / all > 0.55 ? "white" : INK},
    }, ...(count ? [count, element("span", {}, percent(count / all))] : []))));
  });
  $("confusion").append(element("thead", {}, element("tr", {}, element("td"), ...DATA.clusters.map((_, number) =>
    element("th", {scope: "col"}, number_of(number))))), element("tbody", {}, ...rows));
}

function strip(book) {
  const parts = book.texts.map((text, place) => element("i", {"data-text": text, style: {
    left: 100 * book.borders[place] + "%", width: 100 * (book.borders[place + 1] - book.borders[place]) + "%",
    background: DATA.clusters[DATA.cluster[text]].colour, borderRightWidth: book.texts.length > 150 ? 0 : "1px",
  }}));
  const line = element("div", {class: "strip", tabindex: 0, role: "application", "aria-label": book.name + ": " + counted(book.texts.length, "text") + "; the arrow keys go along"}, ...parts);
  const text_at = event => event.target.dataset.text === undefined ? null : Number(event.target.dataset.text);
  line.addEventListener("mousemove", event => { if (text_at(event) !== null) show_hover(text_at(event), event.clientX, event.clientY); });
  line.addEventListener("mouseleave", hide_hover);
  line.addEventListener("click", event => { if (text_at(event) !== null) choose(text_at(event)); });
  line.addEventListener("keydown", event => {
    const step = {ArrowRight: 1, ArrowLeft: -1}[event.key], here = book.texts.indexOf(state.chosen);
    if (!step) return;
    event.preventDefault();
    choose(book.texts[here < 0 ? 0 : Math.max(0, Math.min(book.texts.length - 1, here + step))]);
  });
  return element("div", {class: "book"}, element("div", {class: "name"}, (book.placed ? "★ " : "") + book.name), line);
}

function start() {
  $("heading").textContent = document.title = DATA.heading;
  $("verdict").append(...DATA.verdict.map(sentence => element("p", {}, sentence)));
  for (const name of Object.keys(COLOURINGS)) {
    const radio = element("input", {type: "radio", name: "colouring", value: name, checked: name === "Cluster"});
    radio.addEventListener("change", () => colour_by(name));
    $("colouring").append(element("label", {}, radio, name));
  }
  $("clusters").append(...DATA.clusters.map(cluster_card));
  draw_confusion();
  $("books").append(...DATA.books.map(strip));
  $("strangers").append(...DATA.strangers.map(text => element("li", {}, text_button(text,
    element("span", {class: "why"}, "error " + DATA.error[text].toPrecision(3) + (DATA.strange[text].length ? ": " + DATA.strange[text].join(", ") : ""))))));
  draw_legend();
  $("search").addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(search, SEARCH_DELAY_MS); });
  $("search").addEventListener("keydown", search_key);
  const map = $("map");
  map.addEventListener("wheel", event => { if (!event.ctrlKey) event.stopPropagation(); }, {capture: true});
  map.addEventListener("keydown", map_key);
  map.addEventListener("mouseleave", hide_hover);
  document.addEventListener("keydown", event => { if (event.key === "Escape" && event.target !== $("search")) { hide_hover(); choose(null); } });
  matchMedia("(width < " + NARROW + "px)").addEventListener("change", draw);
  draw().then(() => {
    map.on("plotly_hover", ({points, event}) => show_hover(points[0].customdata, event.clientX, event.clientY));
    map.on("plotly_unhover", hide_hover);
    map.on("plotly_click", ({points}) => choose(points[0].customdata));
    document.body.dataset.ready = "true";
  });
}

start();
