// The page of `pae serve`: no framework, no build step. Images are sent to the server that served
// this page and nowhere else, and come back as PNG files in base64.
"use strict";

const TOKEN = new URLSearchParams(location.search).get("token");
const AT_ONCE = 8; // images sent to be scored together
const BATCH_BYTES = 24 * 2 ** 20;
const MOST_FILE_BYTES = 45 * 2 ** 20;
const MOST_IMAGES = 1000;
const byId = (id) => document.getElementById(id);
let model = null;

// ---------------------------------------------------------------- asking the server

async function ask(path, body, signal) {
  let response;
  try {
    response = await fetch(`/api/${path}`, {
      method: body ? "POST" : "GET",
      headers: { "X-Pae-Token": TOKEN, ...(body && { "Content-Type": "application/json" }) },
      body: body && JSON.stringify(body),
      signal,
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The server does not answer; start `pae serve` again and open its new address.");
  }
  if (!response.ok) {
    const answer = await response.json().catch(() => ({}));
    throw new Error(answer.error || `The server said ${response.status}; try again.`);
  }
  return response;
}

const askJson = async (path, body, signal) => (await ask(path, body, signal)).json();

async function* lines(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read().catch((error) => {
      if (error.name === "AbortError") throw error;
      throw new Error("The connection to the server broke; start `pae serve` again.");
    });
    if (done) return;
    const parts = (rest + value).split("\n");
    rest = parts.pop();
    for (const part of parts) yield JSON.parse(part);
  }
}

// ---------------------------------------------------------------- files and pictures

const png = (base64) => `data:image/png;base64,${base64}`;

function upload(file) {
  if (file.size > MOST_FILE_BYTES) {
    throw new Error(`${pathOf(file)} is larger than ${MOST_FILE_BYTES / 2 ** 20} MB; make it smaller first.`);
  }
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve({ name: pathOf(file), data: reader.result.split(",")[1] || "" });
    reader.onerror = () => reject(new Error(`${pathOf(file)} cannot be read; is it there still?`));
    reader.readAsDataURL(file);
  });
}

function bytes(base64) {
  return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
}

function save(content, name, type) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([content], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

function picture(base64) {
  return new Promise((resolve, reject) => {
    const image = new Image();
    image.onload = () => resolve(image);
    image.onerror = reject;
    image.src = png(base64);
  });
}

function make(tag, fields = {}, ...children) {
  const element = Object.assign(document.createElement(tag), fields);
  element.append(...children);
  return element;
}

function complain(tab, error) {
  const place = byId(`${tab}-error`);
  place.hidden = !error;
  place.textContent = error ? error.message : "";
}

const percent = (share) => `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`;
const stem = (name) => name.replace(/^.*[\\/]/, "").replace(/\.[^.]*$/, "") || "image";

// ---------------------------------------------------------------- tabs, drops, pastes

const tabs = [...document.querySelectorAll("[role=tab]")];

function openTab(tab, focus) {
  for (const each of tabs) {
    const chosen = each === tab;
    each.setAttribute("aria-selected", chosen);
    each.tabIndex = chosen ? 0 : -1;
    byId(each.getAttribute("aria-controls")).hidden = !chosen;
  }
  if (focus) tab.focus();
  if (tab.id === "tab-explore" && model?.generates && !gallery.length) drawSamples();
}

for (const [place, tab] of tabs.entries()) {
  tab.onclick = () => openTab(tab);
  tab.onkeydown = (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step) openTab(tabs[(place + step + tabs.length) % tabs.length], true);
  };
}

const takers = { restore: openImage, find: findImages, explore: addImages };
const openPanel = () => tabs.find((tab) => tab.getAttribute("aria-selected") === "true").getAttribute("aria-controls");

function take(panel, files) {
  const given = [...files];
  if (given.length && !byId(panel).querySelector(".usable").hidden) takers[panel](given);
}

/** Takes what was dropped; of folders the images in them, as `pae ood FOLDER` does. */
async function takeDropped(panel, transfer) {
  // what was dropped can be asked for in this event alone
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  const files = [...transfer.files];
  const folders = entries.some((entry) => entry.isDirectory);
  if (!files.length) return complain(panel, new Error("What was dropped is no file; save the image first, or copy and paste it."));
  try {
    take(panel, folders ? imagesAmong(panel, (await Promise.all(entries.map(filesIn))).flat()) : files);
  } catch {
    complain(panel, new Error("The folder cannot be read; may you open it?"));
  }
}

const pathOf = (file) => file.path || file.webkitRelativePath || file.name;

async function filesIn(entry) {
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
    return [Object.assign(file, { path: entry.fullPath.slice(1) })];
  }
  const reader = entry.createReader(), inside = [];
  for (;;) { // a hundred at a time
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return (await Promise.all(inside.map(filesIn))).flat();
    inside.push(...some);
  }
}

function imagesAmong(panel, files) {
  const images = files.filter((file) => {
    const shown = !pathOf(file).split("/").some((part) => part.startsWith("."));
    return shown && model.endings.some((ending) => file.name.toLowerCase().endsWith(ending));
  });
  if (!images.length) complain(panel, new Error("The folder has no image in it."));
  return images;
}

for (const [id, panel] of [["restore-file", "restore"], ["find-files", "find"], ["explore-files", "explore"]]) {
  byId(id).onchange = (event) => {
    take(panel, event.target.files);
    event.target.value = ""; // the same file may be chosen again
  };
}
byId("find-folder").onchange = (event) => {
  take("find", imagesAmong("find", [...event.target.files]));
  event.target.value = "";
};
addEventListener("dragover", (event) => {
  event.preventDefault();
  document.querySelectorAll(".drop").forEach((zone) => zone.classList.add("over"));
});
for (const kind of ["dragleave", "drop"]) {
  addEventListener(kind, () => document.querySelectorAll(".drop").forEach((zone) => zone.classList.remove("over")));
}
addEventListener("drop", (event) => {
  event.preventDefault();
  takeDropped(openPanel(), event.dataTransfer);
});
addEventListener("paste", (event) => take(openPanel(), event.clipboardData.files));

// ---------------------------------------------------------------- Restore: painting what is missing

const easel = byId("easel");
const paper = easel.getContext("2d");
const CELL_TARGET = 560; // pixels of the canvas, about
const MOST_UNDO = 100;
const work = { image: null, shown: null, mask: null, undo: [], cursor: [0, 0], corner: null, last: null, pointer: null };
let running = null;
let usualPasses = 0;
let opening = null; // the file that was given last

const tool = () => document.querySelector("[name=tool]:checked").value;
const width = () => model.shape[2];
const height = () => model.shape[1];
const cell = () => easel.width / width();
const missing = () => work.mask.reduce((sum, value) => sum + value, 0);

async function openImage([file, ...others]) {
  complain("restore");
  opening = file;
  try {
    const image = await upload(file);
    const seen = await askJson("preview", { image });
    const shown = await picture(seen.image);
    if (opening !== file) return; // another one was given meanwhile
    stopRestoring();
    Object.assign(work, { image, shown, undo: [], corner: null });
    work.mask = new Uint8Array(width() * height());
    work.cursor = [width() >> 1, height() >> 1];
    byId("image-name").textContent = file.name;
    const notes = [others.length ? `The first of ${others.length + 1} images: one is restored at a time, many by \`pae inpaint FOLDER\`.` : "", seen.note || ""];
    byId("image-note").textContent = notes.join(" ").trim();
    byId("image-note").hidden = !byId("image-note").textContent;
    byId("editor").hidden = false;
    byId("answer").hidden = true;
    document.querySelector("#restore .drop").classList.add("small");
    byId("no-image").hidden = true;
    const scale = Math.max(1, Math.round(CELL_TARGET / width()));
    easel.width = width() * scale;
    easel.height = height() * scale;
    paintEasel();
  } catch (error) {
    if (opening === file) complain("restore", error);
  }
}

byId("try-drawn").onclick = async () => {
  complain("restore");
  try {
    const { images } = await askJson("samples", { count: 1, seed: seed++ });
    await openImage([new File([bytes(images[0])], "drawn.png", { type: "image/png" })]);
    easel.focus();
  } catch (error) {
    complain("restore", error);
  }
};

function paintEasel() {
  const size = cell();
  const colour = getComputedStyle(document.documentElement).getPropertyValue("--mask");
  paper.imageSmoothingEnabled = false;
  paper.drawImage(work.shown, 0, 0, easel.width, easel.height);
  paper.fillStyle = colour;
  work.mask.forEach((value, place) => {
    if (value) paper.fillRect((place % width()) * size, Math.floor(place / width()) * size, size, size);
  });
  const outline = (left, top, right, bottom) => {
    for (const [style, line] of [["black", 5], ["white", 2]]) {
      paper.strokeStyle = style;
      paper.lineWidth = line;
      paper.strokeRect(left * size, top * size, (right - left) * size, (bottom - top) * size);
    }
  };
  const [column, row] = work.cursor;
  if (work.corner) {
    const [left, top, right, bottom] = boxTo(work.corner, work.cursor);
    outline(left, top, right, bottom);
  }
  if (document.activeElement === easel) outline(column, row, column + 1, row + 1);
  const count = missing();
  byId("undo").disabled = !work.undo.length;
  byId("clear").disabled = byId("save-mask").disabled = !count;
  const state = work.mask[row * width() + column] ? "missing" : "there";
  byId("easel-place").textContent =
    `${count} of ${work.mask.length} pixels missing` +
    (document.activeElement === easel ? `; row ${row + 1}, column ${column + 1} is ${state}` : "");
}

const boxTo = ([a, b], [c, d]) => [Math.min(a, c), Math.min(b, d), Math.max(a, c) + 1, Math.max(b, d) + 1];

function remember() {
  work.undo.push(work.mask.slice());
  if (work.undo.length > MOST_UNDO) work.undo.shift();
}

function dab(column, row) {
  const across = Number(byId("brush-width").value);
  const reach = (across - 1) / 2;
  const value = tool() === "erase" ? 0 : 1;
  const from = -Math.floor(reach), to = Math.ceil(reach), centre = (from + to) / 2;
  for (let down = from; down <= to; down++) {
    for (let right = from; right <= to; right++) {
      const x = column + right, y = row + down;
      const inside = Math.hypot(right - centre, down - centre) <= across / 2;
      if (inside && x >= 0 && y >= 0 && x < width() && y < height()) work.mask[y * width() + x] = value;
    }
  }
}

function stroke([fromColumn, fromRow], [toColumn, toRow]) {
  const steps = Math.max(Math.abs(toColumn - fromColumn), Math.abs(toRow - fromRow), 1);
  for (let step = 0; step <= steps; step++) {
    const part = step / steps;
    dab(Math.round(fromColumn + part * (toColumn - fromColumn)), Math.round(fromRow + part * (toRow - fromRow)));
  }
}

function fillBox(first, second) {
  const [left, top, right, bottom] = boxTo(first, second);
  for (let row = top; row < bottom; row++) work.mask.fill(1, row * width() + left, row * width() + right);
}

function placeOf(event) {
  const box = easel.getBoundingClientRect();
  const fit = (part, count) => Math.min(Math.max(Math.floor(part * count), 0), count - 1);
  return [
    fit((event.clientX - box.left - easel.clientLeft) / easel.clientWidth, width()),
    fit((event.clientY - box.top - easel.clientTop) / easel.clientHeight, height()),
  ];
}

easel.onpointerdown = (event) => {
  if (event.button !== 0 || work.last) return; // a second finger does not paint
  easel.setPointerCapture((work.pointer = event.pointerId));
  remember();
  work.cursor = work.last = placeOf(event);
  if (tool() === "box") work.corner = work.cursor;
  else dab(...work.cursor);
  paintEasel();
};
const paints = (event) => work.last && event.pointerId === work.pointer;
easel.onpointermove = (event) => {
  if (!paints(event)) return;
  work.cursor = placeOf(event);
  if (tool() !== "box") stroke(work.last, work.cursor);
  work.last = work.cursor;
  paintEasel();
};
easel.onpointerup = (event) => {
  if (!paints(event)) return;
  if (tool() === "box") fillBox(work.corner, work.cursor);
  work.corner = work.last = null;
  paintEasel();
};
easel.onpointercancel = (event) => {
  if (!paints(event)) return;
  work.mask = work.undo.pop();
  work.corner = work.last = null;
  paintEasel();
};
easel.onfocus = easel.onblur = () => work.mask && paintEasel();

easel.onkeydown = (event) => {
  const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z") undo();
  else if (event.ctrlKey || event.metaKey || event.altKey) return;
  else if (move) {
    const bound = (value, most) => Math.min(Math.max(value, 0), most - 1);
    const next = [bound(work.cursor[0] + move[0], width()), bound(work.cursor[1] + move[1], height())];
    if (event.shiftKey && tool() !== "box") {
      remember();
      stroke(work.cursor, next);
    }
    work.cursor = next;
  } else if (event.key === " " && tool() === "box") {
    if (work.corner) {
      remember();
      fillBox(work.corner, work.cursor);
    }
    work.corner = work.corner ? null : work.cursor;
  } else if (event.key === " ") {
    remember();
    dab(...work.cursor);
  } else if (event.key === "Escape") work.corner = null;
  else return;
  event.preventDefault();
  paintEasel();
};

function undo() {
  if (!work.undo.length) return;
  work.mask = work.undo.pop();
  paintEasel();
}

byId("undo").onclick = undo;
byId("clear").onclick = () => {
  remember();
  work.mask.fill(0);
  paintEasel();
};
byId("invert").onclick = () => {
  remember();
  work.mask = work.mask.map((value) => 1 - value);
  paintEasel();
};
byId("brush-width").oninput = (event) => {
  const across = event.target.value;
  byId("brush-shown").textContent = across === "1" ? "1 pixel" : `${across} pixels`;
};
matchMedia("(prefers-color-scheme: dark)").onchange = () => work.mask && paintEasel();

/** Returns the mask as a PNG file of the model's size in base64, white where it is missing. */
function maskFile() {
  const canvas = make("canvas", { width: width(), height: height() });
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(width(), height());
  work.mask.forEach((value, place) => pixels.data.set([255 * value, 255 * value, 255 * value, 255], 4 * place));
  context.putImageData(pixels, 0, 0);
  return canvas.toDataURL("image/png").split(",")[1];
}

byId("save-mask").onclick = () => save(bytes(maskFile()), `${stem(work.image.name)}-mask.png`, "image/png");

// ---------------------------------------------------------------- Restore: asking and showing

function stopRestoring() {
  running?.abort();
  running = null;
  byId("progress").hidden = byId("cancel").hidden = true;
  byId("start").disabled = false;
}

byId("cancel").onclick = () => {
  stopRestoring();
  byId("start").focus();
};

byId("start").onclick = async () => {
  complain("restore");
  const noise = byId("noise");
  if (noise.value === "" || !(Number(noise.value) >= 0 && Number(noise.value) <= 1)) { // finer than a step is right, too
    complain("restore", new Error("Noise is a standard deviation from 0 to 1, for pixels from 0 to 1: 25 of 255 grey levels are 0.098."));
    return noise.focus();
  }
  if (!missing() && Number(noise.value) === 0) {
    complain("restore", new Error("Nothing is missing yet: paint on the image, or give its noise."));
    return easel.focus();
  }
  const own = (running = new AbortController());
  const began = performance.now();
  byId("progress").hidden = byId("cancel").hidden = false;
  byId("start").disabled = true;
  byId("progress-text").textContent = "Sending";
  try {
    const request = { image: work.image, noise: Number(noise.value), method: byId("longer").checked ? "smc" : "auto" };
    if (missing()) request.mask = { name: "mask.png", data: maskFile() };
    for await (const line of lines(await ask("restore", request, own.signal))) {
      if (own !== running) return;
      if (line.error) throw new Error(line.error);
      if (line.mean) return showAnswer(line, request.method === "smc");
      showProgress(line, (performance.now() - began) / 1000);
    }
    throw new Error("The server was stopped; start `pae serve` again and open its new address.");
  } catch (error) {
    if (error.name !== "AbortError") complain("restore", error);
  } finally {
    if (own === running) stopRestoring();
  }
};

function showProgress({ waiting, passes }, seconds) {
  const bar = document.querySelector("#progress progress");
  if (usualPasses && waiting === null) bar.value = Math.min(passes / usualPasses, 0.97);
  else bar.removeAttribute("value");
  byId("progress-text").textContent =
    waiting === null
      ? `${passes.toLocaleString("en")} passes through the networks, ${seconds.toFixed(0)} s`
      : waiting === 0
        ? "Starting"
        : `Waiting for ${waiting} other job${waiting === 1 ? "" : "s"}`;
}

/** Leaves out what to type at a prompt: the verdict says what to do here. */
const withoutOptions = (note) => note.replace(/: [^:]*--[a-z].*$/, ".");

function showAnswer(answer, longer) {
  usualPasses = answer.passes;
  work.answer = answer;
  const verdict = {
    true: "The two halves of the run agree: the samples can be relied on, if this is an image of the training kind.",
    false: `The answer is in doubt: take the samples for guesses${longer ? "" : ", or go on for longer"}.`,
  }[answer.passed];
  byId("answer-verdict").textContent = verdict || "";
  byId("answer-verdict").hidden = !verdict;
  byId("answer-verdict").classList.toggle("doubt", answer.passed === false);
  const count = answer.modes.filter((mode) => mode.weight >= 0.005).length;
  byId("answer-words").textContent = [
    `${answer.missing_pixels} pixels restored in ${answer.seconds.toFixed(1)} s by ${answer.method}`,
    `${count} reading${count === 1 ? "" : "s"}`,
    `chi-squared ${answer.chi2?.toFixed(0)} for ${answer.degrees_of_freedom} observed values`,
  ].join("; ") + ".";
  const notes = [...answer.mask_notes, ...(answer.note ? [withoutOptions(answer.note)] : [])];
  byId("answer-note").textContent = notes.join(" ");
  byId("answer-note").hidden = !notes.length;
  const shown = [
    ["mean", answer.mean, "the expected value of each pixel"],
    ["best reading", answer.map, "the most probable image"],
    ["uncertainty", answer.uncertainty, `standard deviation; white is ${answer.largest_std.toFixed(2)}`],
  ];
  byId("pictures").replaceChildren(
    ...shown.map(([name, data, words]) => choice(name, data, name === "mean", `${name}: ${words}`)),
  );
  byId("samples").replaceChildren(
    ...answer.samples.map((data, place) => choice(`sample ${place + 1}`, data, false, "")),
  );
  byId("compare-under").src = png(answer.input);
  byId("compare-under").alt = "Original as the model sees it";
  compareWith("mean", answer.mean);
  byId("answer").hidden = false;
  byId("answer-title").focus();
}

function choice(name, data, chosen, words) {
  const image = make("img", { src: png(data), alt: words ? "" : name });
  const button = make("button", {}, image, ...(words ? [make("span", { textContent: words })] : []));
  button.setAttribute("aria-pressed", chosen);
  button.onclick = () => {
    document.querySelectorAll("#answer .grid button").forEach((each) => each.setAttribute("aria-pressed", each === button));
    compareWith(name, data);
  };
  return button;
}

function compareWith(name, data) {
  byId("compare-over").src = png(data);
  byId("compare-over").alt = `Restored: ${name}`;
  byId("compare-name").textContent = name;
  slideCompare();
}

function slideCompare() {
  const place = `${byId("compare").value}%`;
  byId("compare-over").style.clipPath = `inset(0 0 0 ${place})`;
  byId("divider").style.left = place;
}

byId("compare").oninput = slideCompare;
byId("save-all").onclick = () =>
  save(bytes(work.answer.zip), `${stem(work.image.name)}-restored.zip`, "application/zip");

// ---------------------------------------------------------------- Find

const OUTLINE = "#00ffff";
let found = []; // { name, p_value, score, canvas, ... }
let unscored = []; // files that wait
let searching = null;

async function findImages(files) {
  complain("find");
  if (found.length + unscored.length + files.length > MOST_IMAGES) {
    return complain("find", new Error(`The page takes ${MOST_IMAGES} images; use \`pae ood FOLDER\` for more.`));
  }
  unscored.push(...files);
  if (!searching) await search(); // else those that came before go first
}

async function search() {
  const own = (searching = new AbortController());
  const bar = document.querySelector("#find-progress progress");
  byId("find-progress").hidden = false;
  try {
    for (let done = 0; unscored.length; ) {
      const all = done + unscored.length;
      bar.value = done / all;
      byId("find-text").textContent = `${done} of ${all} images`;
      const { images, broken, count } = await batchOf(unscored);
      const answer = images.length ? await askJson("find", { images }, own.signal) : { images: [] };
      const rows = await Promise.all(answer.images.map((row) => (row.error ? row : asCard(row))));
      if (own !== searching) return;
      found.push(...broken, ...rows);
      unscored.splice(0, count);
      done += count;
      showFound();
    }
  } catch (error) {
    if (error.name !== "AbortError") complain("find", error);
  } finally {
    if (own === searching) stopSearching();
  }
}

function stopSearching() {
  searching?.abort();
  searching = null;
  unscored = [];
  byId("find-progress").hidden = true;
}

/** Reads the next files, as many as go together; those that cannot be sent are noted. */
async function batchOf(files) {
  const images = [], broken = [];
  let size = 0, count = 0;
  for (const file of files.slice(0, AT_ONCE)) {
    if (count && size + file.size > BATCH_BYTES) break;
    size += file.size;
    count++;
    try {
      images.push(await upload(file));
    } catch (error) {
      broken.push({ name: pathOf(file), error: error.message });
    }
  }
  return { images, broken, count };
}

async function asCard(row) {
  const card = { ...row, canvas: make("canvas") };
  if (!row.image) return card;
  [card.plain, card.hot] = await Promise.all([picture(row.image), picture(row.heat)]);
  const ranks = await picture(row.ranks);
  const canvas = make("canvas", { width: ranks.width, height: ranks.height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(ranks, 0, 0);
  const data = context.getImageData(0, 0, ranks.width, ranks.height).data;
  card.ranks = Uint16Array.from({ length: data.length / 4 }, (_, place) => data[4 * place] * 256 + data[4 * place + 1]);
  card.image = card.heat = null;
  return card;
}

const rate = () => Number(byId("rate").value);
const isFlagged = (row) => row.p_value <= rate();

function showFound() {
  const rows = found.filter((row) => !row.error);
  const broken = found.filter((row) => row.error);
  rows.sort((a, b) => a.p_value - b.p_value || b.score - a.score);
  byId("found").hidden = !found.length;
  document.querySelector("#find .drop").classList.toggle("small", found.length > 0);
  byId("unreadable").hidden = !broken.length;
  byId("unreadable").replaceChildren(...broken.map((row) => make("li", { textContent: row.error })));
  byId("cards").replaceChildren(...rows.map(cardOf));
  byId("save-csv").disabled = !rows.length;
  showFlags();
}

function cardOf(row) {
  row.canvas.setAttribute("role", "img");
  row.element = make(
    "li", {}, row.canvas,
    make("p", { textContent: row.name, title: row.name }),
    make("p", {}, `p = ${Number(row.p_value.toPrecision(2))} `, make("span", { className: "flag" })),
  );
  return row.element;
}

function typedRate(rate) {
  // rounded up: what is below the smallest rate would be refused
  const unit = 10 ** (Math.floor(Math.log10(rate)) - 1);
  return (Math.ceil(rate / unit - 1e-9) * unit).toPrecision(2);
}

function showFlags() {
  const rows = found.filter((row) => !row.error);
  const count = rows.filter(isFlagged).length;
  const finest = 1 / (model.references + 1);
  byId("flags").textContent =
    rate() < finest
      ? `The model's ${model.references} reference images cannot tell so low a rate; use at least ${typedRate(finest)}.`
      : `${count} of ${rows.length} images flagged; if all were like the training images, about ${Number((rate() * rows.length).toPrecision(2))} would be.`;
  for (const row of rows) {
    row.element.classList.toggle("flagged", isFlagged(row));
    row.element.querySelector(".flag").textContent = isFlagged(row) ? "flagged" : "";
    row.canvas.setAttribute("aria-label", `${row.name}, p-value ${row.p_value.toPrecision(2)}${isFlagged(row) ? ", flagged" : ""}`);
    paintCard(row);
  }
}

function paintCard(row) {
  if (!row.plain) return;
  const { naturalWidth: w, naturalHeight: h } = row.plain;
  const scale = Math.max(1, Math.floor(224 / Math.max(w, h)));
  row.canvas.width = w * scale;
  row.canvas.height = h * scale;
  row.canvas.classList.toggle("photo", scale === 1);
  const context = row.canvas.getContext("2d");
  context.imageSmoothingEnabled = false;
  context.drawImage(byId("show-heat").checked ? row.hot : row.plain, 0, 0, w * scale, h * scale);
  if (!byId("show-heat").checked) return;
  const most = Math.floor(rate() * (model.peaks + 1) + 1e-9);
  const inside = (x, y) => x >= 0 && y >= 0 && x < w && y < h && row.ranks[y * w + x] <= most;
  context.fillStyle = OUTLINE;
  const line = Math.max(1, Math.round(scale / 4));
  for (let y = 0; y < h; y++) {
    for (let x = 0; x < w; x++) {
      if (!inside(x, y)) continue;
      if (!inside(x - 1, y)) context.fillRect(x * scale, y * scale, line, scale);
      if (!inside(x + 1, y)) context.fillRect((x + 1) * scale - line, y * scale, line, scale);
      if (!inside(x, y - 1)) context.fillRect(x * scale, y * scale, scale, line);
      if (!inside(x, y + 1)) context.fillRect(x * scale, (y + 1) * scale - line, scale, line);
    }
  }
}

// the slider has steps of equal ratios, from the finest rate to 1
function slideRate() {
  const slider = byId("rate-slider");
  byId("rate").value = Number((10 ** Number(slider.value)).toPrecision(2));
  showFlags();
}

byId("rate-slider").oninput = slideRate;
byId("rate").oninput = () => {
  if (rate() > 0) byId("rate-slider").value = Math.log10(rate());
  showFlags();
};
byId("show-heat").onchange = showFlags;
byId("find-stop").onclick = stopSearching;
byId("find-clear").onclick = () => {
  stopSearching();
  found = [];
  complain("find");
  showFound();
};

/** Escapes a cell: a text that spreadsheets would take for a formula begins with an apostrophe. */
function csvCell(value) {
  const text = typeof value === "string" && /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value ?? "");
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

byId("save-csv").onclick = () => {
  const rows = found.filter((row) => !row.error).sort((a, b) => a.p_value - b.p_value || b.score - a.score);
  const table = [
    ["path", "p_value", "outlier", "score"],
    ...rows.map((row) => [row.name, row.p_value, isFlagged(row) ? "True" : "False", row.score]),
  ];
  save(table.map((row) => row.map(csvCell).join(",") + "\r\n").join(""), "found.csv", "text/csv");
};

// ---------------------------------------------------------------- Explore

const WAY_STEPS = 13;
const MOST_OWN = 64;
let gallery = []; // { name, data, own }; those of the user first
let pair = []; // of the gallery: A, then B
let seed = 0;
let drawing = null; // what was asked for last

async function drawSamples() {
  complain("explore");
  try {
    const request = (drawing = { count: 16, temperature: Number(byId("temperature").value), seed: seed++ });
    const { images } = await askJson("samples", request);
    if (request !== drawing) return;
    const own = gallery.filter((each) => each.own);
    gallery = [...own, ...images.map((data, place) => ({ name: `sample ${place + 1}`, data }))];
    choosePair(pair.filter((each) => each.own));
  } catch (error) {
    complain("explore", error);
  }
}

async function addImages(files) {
  complain("explore");
  const room = MOST_OWN - gallery.filter((each) => each.own).length;
  if (files.length > room) complain("explore", new Error(`The page shows ${MOST_OWN} of your images here; the first ${room} of these were added.`));
  for (const file of files.slice(0, room)) {
    try {
      const { image } = await askJson("preview", { image: await upload(file) });
      gallery.unshift({ name: file.name, data: image, own: true });
    } catch (error) {
      complain("explore", error);
    }
  }
  showGallery();
}

function showGallery() {
  byId("gallery").replaceChildren(
    ...gallery.map((each) => {
      const button = make("button", {}, make("img", { src: png(each.data), alt: each.name }));
      const letter = "AB"[pair.indexOf(each)];
      if (letter) button.append(make("b", { textContent: letter }));
      button.setAttribute("aria-pressed", Boolean(letter));
      button.onclick = () => {
        choosePair(pair.includes(each) ? pair.filter((other) => other !== each) : [...pair.slice(0, 1), each]);
        byId("gallery").children[gallery.indexOf(each)].focus();
      };
      return button;
    }),
  );
  const names = pair.map((each, order) => `${"AB"[order]} is ${each.name}`);
  byId("chosen").textContent = names.length
    ? `${names.join(", ")}.${names.length === 1 ? " Choose B to see the way there." : ""}`
    : "Choose two images: the first is A, the second B.";
}

const asUpload = ({ name, data }) => ({ name, data });

async function choosePair(chosen) {
  const before = pair;
  pair = chosen;
  showGallery();
  // what was shown is not of this pair; the next answer shows itself
  byId("way").hidden = true;
  if (before[0] !== pair[0]) byId("directions").hidden = true;
  const current = () => pair === chosen;
  try {
    if (pair.length === 2) {
      const way = await askJson("path", { start: asUpload(pair[0]), end: asUpload(pair[1]), steps: WAY_STEPS });
      if (current()) showWay(way);
    }
    if (pair.length && before[0] !== pair[0]) {
      const directions = await askJson("directions", { image: asUpload(pair[0]) });
      if (pair[0] === chosen[0]) showDirections(directions);
    }
  } catch (error) {
    complain("explore", error);
  }
}

function showWay(way) {
  const slider = byId("way-place");
  slider.oninput = () => {
    const place = Number(slider.value);
    byId("way-image").src = png(way.frames[place]);
    byId("way-image").alt = `${Math.round((100 * place) / (WAY_STEPS - 1))} percent of the way from A to B`;
    byId("way-words").textContent = `log density ${way.log_prob[place]?.toFixed(1)} nats`;
  };
  slider.oninput();
  byId("way").hidden = false;
}

function showDirections({ places, directions }) {
  const middle = (places.length - 1) / 2;
  const show = (frames, place, words) => {
    byId("direction-image").src = png(frames.frames[place]);
    byId("direction-image").alt = words;
    byId("direction-words").textContent = `${words}; log density ${frames.log_prob[place]?.toFixed(1)} nats`;
  };
  const sliders = directions.map((direction, order) => {
    const slider = make("input", { type: "range", min: 0, max: places.length - 1, value: middle });
    slider.setAttribute("aria-label", `Direction ${order + 1}`);
    slider.oninput = () => {
      for (const other of sliders) if (other !== slider) other.value = middle;
      const place = Number(slider.value);
      show(direction, place, `Direction ${order + 1}, ${places[place].toFixed(1)} standard deviations`);
    };
    return slider;
  });
  byId("direction-sliders").replaceChildren(
    ...sliders.map((slider, order) =>
      make("label", { className: "field" }, `${order + 1}`, slider, make("span", { className: "soft small", textContent: `${percent(directions[order].share)} of all change` })),
    ),
  );
  show(directions[0], middle, "A as the model reconstructs it");
  byId("directions").hidden = false;
}

byId("draw").onclick = drawSamples;
byId("temperature").oninput = (event) => (byId("temperature-shown").textContent = event.target.value);

// ---------------------------------------------------------------- start

function unavailable(panel, why) {
  const line = byId(panel).querySelector(".unavailable");
  line.textContent = why;
  line.hidden = false;
  byId(panel).querySelector(".usable").hidden = true;
}

(async () => {
  try {
    model = await askJson("model");
  } catch (error) {
    return tabs.forEach((tab) => unavailable(tab.getAttribute("aria-controls"), error.message));
  }
  const size = model.shape ? `${model.shape[2]} × ${model.shape[1]} pixels${model.shape[0] === 1 ? ", grey" : ""}` : "patches of photographs";
  byId("about").textContent = `${model.name}: ${size}`;
  document.title = `pae: ${model.name}`;
  if (!model.generates) ["restore", "explore"].forEach((panel) => unavailable(panel, `${model.why_not}.`));
  if (!model.finds) unavailable("find", `${model.why_not_find}.`);
  else {
    const slider = byId("rate-slider");
    Object.assign(slider, { min: Math.ceil(-100 * Math.log10(model.references + 1)) / 100, max: 0, step: 0.01 });
    slider.value = Math.log10(rate());
  }
  if (model.shape) byId("brush-width").max = Math.max(5, Math.round(width() / 3));
  openTab(byId(model.generates ? "tab-restore" : "tab-find"));
})();
