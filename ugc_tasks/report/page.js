"use strict";
// Everything from clips, models and judges is text here: it is set by textContent, never as markup.
const data = JSON.parse(document.getElementById("data").textContent);
const ROW = 56;
const $ = (id) => document.getElementById(id);
const two = data.runs.length > 1;
const FUNCTION_WORDS = new Set(
  "a an and are as at be been but by for from has have he her his in into is it its of on or she that the their them then there they this to was were which while who with".split(" ")
);
const state = { clip: "", search: "", sort: two ? "difference" : "low", failed: false, flagged: false, differ: false };
let shown = [];

function make(tag, text, className) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (className) element.className = className;
  return element;
}

const number = (value) => (value === null || value === undefined ? "–" : value.toFixed(1));
const scoreOf = (clip, run = 0) => clip.runs[run] ? clip.runs[run].score : null;

function difference(clip) {
  const [a, b] = [scoreOf(clip, 0), scoreOf(clip, 1)];
  return a === null || b === null ? null : a - b;
}

function haystack(clip) {
  if (clip.hay === undefined) {
    const parts = [clip.id, clip.reference];
    for (const run of clip.runs) if (run) parts.push(run.prediction, run.failure, ...run.replies);
    clip.hay = parts.filter(Boolean).join("\n").toLowerCase();
  }
  return clip.hay;
}

const ORDERS = {
  low: (a, b) => rank(scoreOf(a), 1) - rank(scoreOf(b), 1),
  high: (a, b) => rank(scoreOf(b), -1) - rank(scoreOf(a), -1),
  difference: (a, b) => Math.abs(difference(b) ?? -1) - Math.abs(difference(a) ?? -1),
  gains: (a, b) => rank(difference(b), -1) - rank(difference(a), -1),
  losses: (a, b) => rank(difference(a), 1) - rank(difference(b), 1),
  longest: (a, b) => (b.seconds ?? -1) - (a.seconds ?? -1),
  words: (a, b) => words(b) - words(a),
  order: (a, b) => a.at - b.at,
};
// What has no value comes last, whichever way it is sorted.
const rank = (value, way) => value ?? way * Infinity;
const words = (clip) => (clip.runs[0] && clip.runs[0].prediction ? clip.runs[0].prediction.split(/\s+/).length : 0);

function choose() {
  const wanted = state.search.toLowerCase().split(/\s+/).filter(Boolean);
  shown = data.clips.filter(
    (clip) =>
      (!state.failed || clip.runs.some((run) => run && run.failure)) &&
      (!state.flagged || clip.runs.some((run) => run && run.flags.length)) &&
      (!state.differ || (difference(clip) ?? 0) !== 0) &&
      wanted.every((word) => haystack(clip).includes(word))
  );
  // Array.sort is stable: equal ones stay in the order of the benchmark.
  shown.sort((a, b) => ORDERS[state.sort](a, b) || 0);
  $("rows").style.height = `${shown.length * ROW}px`;
  $("count").textContent = shown.length === data.clips.length
    ? `${shown.length} clips` : `${shown.length} of ${data.clips.length} clips`;
  draw();
}

function draw() {
  const view = $("window");
  const first = Math.max(0, Math.floor(view.scrollTop / ROW) - 5);
  const last = Math.min(shown.length, Math.ceil((view.scrollTop + view.clientHeight) / ROW) + 5);
  const rows = [];
  for (let at = first; at < last; at++) rows.push(row(shown[at], at));
  $("rows").replaceChildren(...rows);
}

function row(clip, at) {
  const item = make("li");
  item.id = `row-${clip.at}`;
  item.setAttribute("role", "option");
  item.setAttribute("aria-selected", String(clip.id === state.clip));
  item.style.top = `${at * ROW}px`;
  if (clip.poster) {
    const image = make("img");
    image.alt = "";
    image.src = clip.poster;
    item.append(image);
  }
  const gain = two ? difference(clip) : null;
  const value = two ? (gain === null ? "–" : (gain > 0 ? "+" : "") + gain.toFixed(1)) : number(scoreOf(clip));
  item.append(make("span", value, `value${gain ? (gain > 0 ? " better" : " worse") : ""}`));
  const run = clip.runs.find(Boolean);
  item.append(make("span", (run && (run.failure || run.prediction)) || clip.id, "text"));
  item.addEventListener("click", () => open(clip.id));
  return item;
}

function open(id, scroll = false) {
  const clip = data.clips.find((each) => each.id === id);
  if (!clip) return;
  state.clip = id;
  const at = shown.indexOf(clip);
  if (scroll && at >= 0) {
    const view = $("window");
    if (at * ROW < view.scrollTop) view.scrollTop = at * ROW;
    else if ((at + 1) * ROW > view.scrollTop + view.clientHeight) view.scrollTop = (at + 1) * ROW - view.clientHeight;
  }
  $("window").setAttribute("aria-activedescendant", `row-${clip.at}`);
  draw();
  show(clip, at);
  remember();
}

function show(clip, at) {
  const place = $("clip");
  const head = make("h2", clip.id);
  const where = make("p", at >= 0 ? `${at + 1} of ${shown.length}` : "not among the clips that are shown", "quiet");
  place.replaceChildren(head, where, media(clip));
  const texts = make("div", undefined, "texts");
  clip.runs.forEach((run, index) => texts.append(answer(clip, run, index)));
  const reference = make("section");
  reference.append(make("h2", "reference"));
  const other = clip.runs.map((run) => (run && run.prediction) || "").join(" ");
  reference.append(marked(clip.reference, other));
  texts.append(reference);
  place.append(texts);
}

function media(clip) {
  const box = make("div");
  box.id = "media";
  if (clip.poster) {
    const image = make("img");
    image.src = clip.poster;
    image.alt = `a frame of ${clip.id}`;
    box.append(image);
  }
  if (clip.video) {
    const button = make("button", "Play the clip (o)");
    button.id = "play";
    button.addEventListener("click", () => {
      const video = make("video");
      video.controls = true;
      video.src = clip.video;
      video.addEventListener("error", () => video.replaceWith(make("p", `The clip cannot be played here: ${clip.video}`, "quiet")));
      box.replaceChildren(video);
      video.play().catch(() => {});
      video.focus();
    });
    box.append(button);
  } else box.append(make("p", "The clip itself was not found.", "quiet"));
  return box;
}

function answer(clip, run, index) {
  const section = make("section");
  section.append(make("h2", two ? data.runs[index].name : "prediction"));
  if (!run) {
    section.append(make("p", "This clip is not in the run.", "quiet"));
    return section;
  }
  const figures = Object.entries(run.figures).map(([name, value]) => `${name} ${number(value)}`).join("   ");
  section.append(make("p", run.failure ? `not scored: ${run.failure}` : figures));
  if (run.prediction !== null) section.append(marked(run.prediction, clip.reference || ""));
  const more = make("details");
  more.append(make("summary", "judge, decoding, flags"));
  run.replies.forEach((reply) => more.append(make("pre", reply)));
  for (const [name, value] of Object.entries(run.more)) more.append(make("p", `${name}: ${value}`, "quiet"));
  if (run.flags.length) more.append(make("p", `flags: ${run.flags.join(", ")}`));
  section.append(more);
  return section;
}

const plain = (word) => word.toLowerCase().replace(/[^\p{L}\p{N}]/gu, "");

function marked(text, other) {
  const paragraph = make("p");
  const there = new Set((other || "").split(/\s+/).map(plain));
  for (const piece of (text || "").split(/(\s+)/)) {
    const word = plain(piece);
    if (!word || FUNCTION_WORDS.has(word)) paragraph.append(piece);
    else paragraph.append(make("span", piece, there.has(word) ? "shared" : "only"));
  }
  return paragraph;
}

function step(by) {
  const at = shown.findIndex((clip) => clip.id === state.clip);
  const next = shown[Math.min(shown.length - 1, Math.max(0, at + by))];
  if (next) open(next.id, true);
}

function remember() {
  const kept = new URLSearchParams();
  for (const [name, value] of Object.entries(state)) if (value) kept.set(name, value === true ? "1" : value);
  history.replaceState(null, "", `#${kept}`);
}

function recall() {
  const kept = new URLSearchParams(location.hash.slice(1));
  for (const name of ["failed", "flagged", "differ"]) state[name] = kept.get(name) === "1";
  state.search = kept.get("search") || "";
  if (kept.get("sort") in ORDERS) state.sort = kept.get("sort");
  state.clip = kept.get("clip") || "";
  $("search").value = state.search;
  $("sort").value = state.sort;
  for (const name of ["failed", "flagged", "differ"]) if ($(name)) $(name).checked = state[name];
}

function listen() {
  $("search").addEventListener("input", (event) => { state.search = event.target.value; choose(); remember(); });
  $("sort").addEventListener("change", (event) => { state.sort = event.target.value; choose(); remember(); });
  for (const name of ["failed", "flagged", "differ"])
    if ($(name)) $(name).addEventListener("change", (event) => { state[name] = event.target.checked; choose(); remember(); });
  $("window").addEventListener("scroll", () => requestAnimationFrame(draw));
  addEventListener("resize", draw);
  addEventListener("hashchange", () => { recall(); choose(); if (state.clip) open(state.clip, true); });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName) && event.target.type !== "checkbox";
    if (event.key === "Escape" && typing) event.target.blur();
    if (typing || event.target.tagName === "VIDEO") return;
    const keys = {
      j: () => step(1), ArrowDown: () => step(1), k: () => step(-1), ArrowUp: () => step(-1),
      "/": () => $("search").focus(), o: () => $("play") && $("play").click(),
      d: () => $("differ") && $("differ").click(), "?": () => $("help").showModal(),
    };
    if (event.key in keys) { event.preventDefault(); keys[event.key](); }
  });
}

data.clips.forEach((clip, at) => { clip.at = at; });
recall();
listen();
choose();
open(state.clip || (shown[0] && shown[0].id) || "", true);
document.documentElement.dataset.ready = "yes";
