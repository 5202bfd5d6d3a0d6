// Shows one photo in a dialog, with copies of the parts of its card.
/* global current, fillWhy, itemOf, main, showMark, shown, visit */
const viewer = document.querySelector(".viewer"), title = viewer.querySelector("h2"), place = viewer.querySelector(".place");
const steps = [...viewer.querySelectorAll("[data-step]")];

function view(card) {
  const item = itemOf.get(card), position = shown.indexOf(card), heading = card.querySelector("h3").cloneNode(true);
  title.className = viewer.querySelector(".why").className = "";
  title.classList.add(item.kind);
  viewer.querySelector(".sides > :last-child").classList.add("why", item.kind);
  heading.querySelector("a").replaceWith(...heading.querySelector("a").childNodes);
  title.replaceChildren(...heading.childNodes);
  place.textContent = `${(position + 1).toLocaleString("en")} of ${shown.length.toLocaleString("en")}`;
  for (const button of steps) button.disabled = !shown[position + Number(button.dataset.step)];
  const parts = ["figure", "ol", ".detail", ".path"].map(part => card.querySelector(part)).filter(Boolean);
  viewer.querySelector(".copied").replaceChildren(...parts.map(part => part.cloneNode(true)));
  const picture = viewer.querySelector("figure img");
  if (picture) Object.assign(picture, {loading: "eager", alt: item.best ? `Photo, classified as ${item.best}` : "Photo"});
  fillWhy(viewer.querySelector(".why"), item);
  viewer.querySelector(".sides").scrollTop = 0;
  visit(card);
  showMark(card);
  if (!viewer.open) viewer.showModal();
  title.focus({preventScroll: true});
  history.replaceState(null, "", `#${card.id}`);
}

function step(by) {
  const next = shown[shown.indexOf(current) + by];
  if (next) view(next);
}

viewer.addEventListener("close", () => {
  history.replaceState(null, "", "#");
  const group = current.closest("details");
  if (group) group.open = true;
  current.querySelector("h3 a").focus();
  current.scrollIntoView({block: "nearest"});
});
viewer.addEventListener("click", event => {
  const button = event.target.closest("button");
  if (event.target === viewer || button?.classList.contains("close")) viewer.close();
  else if (button?.dataset.step) step(Number(button.dataset.step));
});
main.addEventListener("click", event => {
  const link = event.target.closest("article a");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  view(link.closest("article"));
});
function viewAsked() { // after all scripts
  const asked = /^#p\d+$/.test(location.hash) && document.getElementById(location.hash.slice(1));
  if (asked) view(asked);
}
addEventListener("DOMContentLoaded", viewAsked);
