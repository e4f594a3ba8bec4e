"use strict";
// Everything from clips, models and judges is text here: it is set by textContent, never as markup.
const data = JSON.parse(document.getElementById("data").textContent);
const ROW = 56;
const $ = (id) => document.getElementById(id);
const several = data.runs.length > 1;
const comparable = data.against.length > 0; // with the first run: judged by the same judge
const FUNCTION_WORDS = new Set(
  "a an and are as at be been but by for from has have he her his in into is it its of on or she that the their them then there they this to was were which while who with".split(" ")
);
const state = { clip: "", search: "", sort: comparable ? "difference" : "low", against: data.against[0] || 0, failed: false, flagged: false, differ: false };
let shown = [];

function make(tag, text, className) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (className) element.className = className;
  return element;
}

const signed = (value) => (value > 0 ? "+" : value < 0 ? "−" : "") + Math.abs(value).toFixed(1);
const number = (value) => (value === null || value === undefined ? "–" : value.toFixed(1));
const scoreOf = (clip, run = 0) => (clip.runs[run] && clip.runs[run].figures ? clip.runs[run].figures.at(-1) : null);
// What has no value is not in the data.
const complete = (run) => run && { prediction: null, figures: null, failure: null, replies: [], flags: [], more: {}, ...run };

function difference(clip) {
  const [a, b] = [scoreOf(clip, 0), scoreOf(clip, state.against)];
  return a === null || b === null ? null : a - b;
}

function haystack(clip) {
  if (clip.hay === undefined) {
    const parts = [clip.id, clip.reference];
    for (const run of clip.runs.map(complete)) if (run) parts.push(run.prediction, run.failure, ...run.replies);
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
      (!state.flagged || clip.runs.some((run) => run && run.flags)) &&
      (!state.differ || (difference(clip) ?? 0) !== 0) &&
      wanted.every((word) => haystack(clip).includes(word))
  );
  // Array.sort is stable: equal ones stay in the order of the benchmark.
  shown.sort((a, b) => ORDERS[state.sort](a, b) || 0);
  $("rows").style.height = `${shown.length * ROW}px`;
  $("count").textContent = shown.length === data.clips.length
    ? `${shown.length} clips` : `${shown.length} of ${data.clips.length} clips`;
  const names = data.runs.map((run) => run.name);
  $("column").textContent = comparable ? `${names[0]} minus ${names[state.against]}, ${data.figures.at(-1)}`
    : `${data.figures.at(-1)}${several ? ` of ${names[0]}` : ""}`;
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
  const gain = comparable ? difference(clip) : null;
  const value = comparable ? (gain === null ? "–" : signed(gain)) : number(scoreOf(clip));
  item.append(make("span", value, `value${gain ? (gain > 0 ? " better" : " worse") : ""}`));
  const run = clip.runs.find(Boolean);
  const text = (run && (run.failure ? `not scored: ${run.failure}` : run.prediction)) || clip.id;
  item.append(make("span", text.slice(0, 200), `text${run && run.failure ? " quiet" : ""}`));
  item.addEventListener("click", () => {
    open(clip.id);
    if (matchMedia("(max-width: 48rem)").matches) $("clip").scrollIntoView();
  });
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
  const place_in_list = at >= 0 ? `${at + 1} of ${shown.length}` : "not among the clips that are listed";
  const where = make("p", undefined, "where");
  for (const [name, by] of [["◂ previous", -1], ["next ▸", 1]]) {
    const button = make("button", name);
    button.type = "button";
    button.disabled = at + by < 0 || at + by >= shown.length;
    button.addEventListener("click", () => step(by));
    where.append(button);
  }
  where.append(make("span", place_in_list + (clip.seconds ? ` · ${clip.seconds.toFixed(1)} s` : ""), "quiet"));
  place.replaceChildren(make("h2", clip.id), where, media(clip));
  const texts = make("div", undefined, "texts");
  clip.runs.forEach((run, index) => texts.append(answer(clip, run, index)));
  const reference = make("section");
  reference.append(make("h3", "reference"));
  const other = clip.runs.map((run) => (run && run.prediction) || "").join(" ").trim();
  if (clip.reference) reference.append(other ? marked(clip.reference, other) : make("p", clip.reference));
  else reference.append(make("p", "The run's file has no reference of this clip.", "quiet"));
  if (clip.reference && other) reference.append(make("p", several ? "Underlined: words that no answer has." : "Underlined: words that the answer lacks.", "quiet small"));
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
      const address = data.folder + clip.video;
      video.src = address;
      video.addEventListener("error", () => video.replaceWith(make("p", `The clip cannot be played here: ${address}`, "quiet")));
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
  section.append(make("h3", several ? data.runs[index].name : "prediction"));
  if (!run) {
    section.append(make("p", "This clip is not in the run.", "quiet"));
    return section;
  }
  run = complete(run);
  if (run.failure !== null) section.append(make("p", `not scored: ${run.failure}`, "worse"));
  else section.append(make("p", run.figures.map((value, at) => `${data.figures[at]}\u00a0${number(value)}`).join("   "), "figures"));
  if (run.prediction !== null) section.append(marked(run.prediction, clip.reference || ""));
  else if (run.failure === null) section.append(make("p", "The run's file has no text of this clip.", "quiet"));
  if (run.flags.length) section.append(make("p", `flags: ${run.flags.join(", ")}`));
  const facts = Object.entries({ ...data.runs[index].same, ...run.more });
  if (!run.replies.length && !facts.length) return section;
  const more = make("details");
  more.append(make("summary", run.replies.length ? "judge's reply, decoding" : "decoding"));
  run.replies.forEach((reply) => more.append(make("pre", reply)));
  for (const [name, value] of facts) more.append(make("p", `${name.replaceAll("_", " ")}: ${value}`, "quiet"));
  section.append(more);
  return section;
}

const plain = (word) => word.toLowerCase().replace(/[^\p{L}\p{N}]/gu, "");

function marked(text, other) {
  const paragraph = make("p", undefined, "marked");
  const there = new Set((other || "").split(/\s+/).map(plain));
  for (const piece of (text || "").split(/(\s+)/)) {
    const word = plain(piece);
    const lacks = word && !FUNCTION_WORDS.has(word) && !there.has(word);
    paragraph.append(lacks ? make("span", piece, "only") : piece);
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
  if ([...$("sort").options].some((option) => option.value === kept.get("sort"))) state.sort = kept.get("sort");
  if (data.against.includes(Number(kept.get("against")))) state.against = Number(kept.get("against"));
  state.clip = kept.get("clip") || "";
  $("search").value = state.search;
  $("sort").value = state.sort;
  if ($("against")) $("against").value = state.against;
  for (const name of ["failed", "flagged", "differ"]) if ($(name)) $(name).checked = state[name];
}

function listen() {
  $("search").addEventListener("input", (event) => { state.search = event.target.value; choose(); remember(); });
  $("sort").addEventListener("change", (event) => { state.sort = event.target.value; choose(); remember(); });
  for (const name of ["failed", "flagged", "differ"])
    if ($(name)) $(name).addEventListener("change", (event) => { state[name] = event.target.checked; choose(); remember(); });
  if ($("against")) {
    $("against").append(...data.against.map((run) => new Option(data.runs[run].name, run)));
    $("against").addEventListener("change", (event) => { state.against = Number(event.target.value); choose(); remember(); });
  }
  $("keys-button").addEventListener("click", () => $("help").showModal());
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
listen();
recall();
choose();
open(state.clip || (shown[0] && shown[0].id) || "", true);
document.documentElement.dataset.ready = "yes";
