// Two orders of the same documents side by side, and a line from each place to the other.

import { SCORES } from "./words.js";

const SVG = "http://www.w3.org/2000/svg";
const ANIMATED = 60; // documents; more would stutter

const board = document.getElementById("board");
const drawing = document.getElementById("lines");
const lists = { before: board.querySelector(".before"), after: board.querySelector(".after") };

// A column: { title, order, kind, relevance, raw }; `order` holds indices of `documents`, the best
// first, the last two are aligned with it and absent where there are no scores.
export function show(documents, before, after, answer) {
  const ranks = { before: ranksOf(before.order), after: ranksOf(after.order) };
  const rows = (side, column) =>
    column.order.map((index, place) => row(documents[index], index, place, side, column, ranks, answer));
  fill(lists.before, before, rows("before", before));
  fill(lists.after, after, rows("after", after));
  draw();
  slide();
}

export function moved(before, after) {
  const ranks = ranksOf(before.order);
  return after.order.filter((index, place) => ranks.get(index) !== place).length;
}

const ranksOf = (order) => new Map(order.map((index, place) => [index, place]));

function fill(list, column, rows) {
  list.querySelector("h3").textContent = column.title;
  list.querySelector(".hint").textContent = column.kind ? SCORES[column.kind].means : "";
  list.querySelector("ol").replaceChildren(...rows);
}

function row(text, index, place, side, column, ranks, answer) {
  const item = make("li", index === answer ? "answer" : "");
  item.dataset.index = index;
  const head = make("summary");
  const where = make("span", "place");
  where.append(make("span", "rank", place + 1));
  if (side === "after") where.append(move(ranks.before.get(index) - place));
  const shown = make("span", "text");
  if (index === answer) shown.append(make("span", "tag", "answer"));
  shown.append(text);
  head.append(where, shown);
  const scored = column.kind && SCORES[column.kind].shown;
  if (scored) head.append(score(column.relevance[place]));
  const other = side === "after" ? `Before: ${ranks.before.get(index) + 1}` : `After: ${ranks.after.get(index) + 1}`;
  const raw = scored ? `, score ${Number(column.raw[place].toPrecision(4))} (${column.kind.replace("_", " ")})` : "";
  const details = make("details");
  details.append(head, make("p", "more", `${other}${raw}`));
  item.append(details);
  return item;
}

function move(steps) {
  const way = steps > 0 ? "up" : steps < 0 ? "down" : "same";
  const sign = { up: "\u2191", down: "\u2193", same: "=" }[way];
  const shown = make("span", `move ${way}`);
  const drawn = make("span", "", steps ? `${sign}${Math.abs(steps)}` : sign);
  drawn.setAttribute("aria-hidden", "true");
  shown.append(drawn, make("span", "unseen", steps ? `${way} ${Math.abs(steps)}` : "not moved"));
  return shown;
}

function score(relevance) {
  const shown = make("span", "score", relevance.toFixed(3));
  const bar = make("span", "bar");
  const full = make("i");
  full.style.width = `${100 * relevance}%`;
  bar.append(full);
  shown.append(bar);
  return shown;
}

function make(tag, name = "", text = null) {
  const element = document.createElement(tag);
  if (name) element.className = name;
  if (text !== null) element.textContent = text;
  return element;
}

// Lines. Places are offsets, which rows have from the start while they still slide.

const ROW = 66; // of the first two lines: an opened text does not pull its line down

function draw() {
  const from = middles(lists.before);
  const to = middles(lists.after);
  const tip = drawing.clientWidth - 2;
  const bend = tip * 0.45;
  const parts = [];
  for (const [index, start] of from) {
    const end = to.get(index);
    const way = start.place > end.place ? "up" : start.place < end.place ? "down" : "same";
    const line = `M2 ${start.y}C${bend} ${start.y} ${tip - bend} ${end.y} ${tip - 5} ${end.y}`;
    const head = `M${tip} ${end.y}l-7 -4v8z`;
    parts.push(path(line, way, index), path(head, `head ${way}`, index));
  }
  drawing.replaceChildren(...parts);
  light(board.querySelector("li.lit")?.dataset.index);
}

function middles(list) {
  const top = list.querySelector("ol").offsetTop;
  const places = [...list.querySelectorAll("li")].map((item, place) => [
    item.dataset.index,
    { place, y: item.offsetTop - top + Math.min(item.offsetHeight, ROW) / 2 },
  ]);
  return new Map(places);
}

function path(d, name, index) {
  const element = document.createElementNS(SVG, "path");
  element.setAttribute("d", d);
  element.setAttribute("class", name);
  element.dataset.index = index;
  return element;
}

// Rows slide from where they were to where they are.
function slide() {
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const rows = [...lists.after.querySelectorAll("li")];
  if (still || rows.length > ANIMATED) return;
  const before = new Map(
    [...lists.before.querySelectorAll("li")].map((item) => [item.dataset.index, item.offsetTop]),
  );
  const timing = { duration: 450, easing: "cubic-bezier(.2, .7, .2, 1)" };
  for (const item of rows) {
    const from = before.get(item.dataset.index) - item.offsetTop;
    item.animate([{ transform: `translateY(${from}px)` }, { transform: "none" }], timing);
  }
  drawing.animate([{ opacity: 0 }, { opacity: 0, offset: 0.5 }, { opacity: 1 }], timing);
}

function light(index) {
  for (const lit of board.querySelectorAll(".lit")) lit.classList.remove("lit");
  drawing.classList.toggle("some", index !== undefined);
  if (index === undefined) return;
  for (const part of board.querySelectorAll(`[data-index="${index}"]`)) part.classList.add("lit");
}

for (const event of ["pointerover", "focusin"]) {
  board.addEventListener(event, ({ target }) => light(target.closest("li")?.dataset.index));
}
for (const event of ["pointerleave", "focusout"]) board.addEventListener(event, () => light());
new ResizeObserver(draw).observe(board);
