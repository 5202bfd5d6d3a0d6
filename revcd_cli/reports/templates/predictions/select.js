// Selects photos, and marks wrong ones with their right class; both are saved as files by save.js.
/* global cards, current, data, itemOf, items, make, saveMarks, saveSelected, shown, viewer */
/* exported markViewed, showMark, togglePick */
const picked = new Set(), marks = new Map(); // items; item -> right class
const panel = document.querySelector(".actions"), form = panel.querySelector("form"), right = form.elements.right;
const viewed = viewer.querySelector(".correct");
let isSaved = true; // whether the marks are those of the last file

document.getElementById("names").append(...data.names.map(name => make("option", {value: name})));
for (const item of items) {
  const box = make("input", {type: "checkbox", className: "pick", tabIndex: -1, ariaLabel: `Select ${item.path}`});
  box.addEventListener("change", () => pick(item, box.checked));
  item.box = box;
  item.card.prepend(box);
}

function pick(item, wanted) {
  picked[wanted ? "add" : "delete"](item);
  item.box.checked = wanted;
  item.card.classList.toggle("picked", wanted);
  report();
}

function togglePick(card) {
  const item = itemOf.get(card);
  pick(item, !picked.has(item));
}

// Shows the mark of a photo on its card; an empty name removes it.
function correct(item, name) {
  item.card.querySelector(".mark")?.remove();
  if (name) marks.set(item, name);
  else marks.delete(item);
  item.card.classList.toggle("wrong", Boolean(name));
  if (name) {
    item.card.querySelector("h3").after(make("p", {className: "mark"}, "wrong; right: ", make("bdi", {textContent: name})));
  }
  isSaved = false;
  report();
}

function report() {
  const count = (number, word) => `${number.toLocaleString("en")} ${word}`;
  panel.querySelector(".picked").textContent = count(picked.size, "selected");
  panel.querySelector(".marked").textContent = marks.size ? count(marks.size, "marked as wrong") : "";
  panel.hidden = !picked.size && !marks.size;
  document.body.classList.toggle("acting", !panel.hidden);
  for (const part of panel.querySelectorAll("[data-for]")) {
    part.hidden = !(part.dataset.for === "picked" ? picked : marks).size;
  }
}

function showMark(card) {
  viewed.elements.right.value = marks.get(itemOf.get(card)) ?? "";
}

form.addEventListener("submit", event => {
  event.preventDefault();
  for (const item of picked) correct(item, right.value.trim());
  right.value = "";
});
viewed.addEventListener("submit", event => {
  event.preventDefault();
  correct(itemOf.get(current), viewed.elements.right.value.trim());
  viewed.querySelector("output").textContent = viewed.elements.right.value.trim() ? "Marked." : "Not marked.";
});
viewed.addEventListener("input", () => {
  viewed.querySelector("output").textContent = "";
});
panel.addEventListener("click", event => {
  const action = event.target.closest("button")?.dataset.action;
  if (action === "none") for (const item of [...picked]) pick(item, false);
  if (action === "shown") for (const card of shown) pick(itemOf.get(card), true);
  if (action === "unmark") for (const item of [...picked]) correct(item, "");
  if (action === "paths" || action === "csv") saveSelected(items.filter(item => picked.has(item)), action);
  if (action === "marks") {
    saveMarks(items.filter(item => marks.has(item)).map(item => [item, marks.get(item)]));
    isSaved = true;
  }
});
addEventListener("beforeunload", event => {
  if (!isSaved && marks.size) event.preventDefault();
});
if (cards.length) report();
