// Groups the cards by class, or shows them in one grid. Cards are moved, not created again.
/* exported arrange, itemOf, nothing, tools */
const data = JSON.parse(document.getElementById("data").textContent);
const main = document.querySelector("main"), flat = main.querySelector(".cards"), cards = [...flat.children];
const tools = document.querySelector(".tools"), nothing = document.querySelector(".nothing");
const collator = new Intl.Collator(undefined, {numeric: true});

function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

const items = cards.map((card, position) => {
  const {kind, path, classes, share} = card.dataset, numbers = classes ? classes.split(" ").map(Number) : [];
  const best = numbers.length ? data.classes[numbers[0]].name : "";
  return {card, position, kind, path, numbers, best, share: Number(share), text: `${path}\n${best}`.toLowerCase()};
});
const itemOf = new Map(items.map(item => [item.card, item]));

const orders = {
  "": (a, b) => a.position - b.position, sure: (a, b) => b.share - a.share, unsure: (a, b) => a.share - b.share,
  path: (a, b) => collator.compare(a.path, b.path),
};

const groups = new Map(); // by class number, or by kind for photos without a class

function groupOf(item) {
  const key = item.numbers[0] ?? item.kind;
  if (!groups.has(key)) {
    const title = item.best || (item.kind === "rejected" ? "None of these" : "Failed");
    const count = make("span", {className: "count"}), grid = make("div", {className: "cards"});
    const meta = make("span", {className: "meta"}, count);
    const head = make("summary", {className: item.kind}, make("h2", {}, make("bdi", {textContent: title})), meta);
    if (["known", "described"].includes(item.kind)) count.before(make("span", {className: "badge", textContent: item.kind}));
    const box = make("details", {className: "group", open: true}, head, grid);
    groups.set(key, {box, count, grid, title, last: item.numbers.length ? 0 : 1, all: 0});
  }
  return groups.get(key);
}

// Moves the cards to their places. Returns the items in the order of the page.
function arrange(order, grouped) {
  const sorted = [...items].sort(orders[order] ?? orders[""]), places = new Map();
  for (const item of sorted) {
    item.group = grouped ? groupOf(item) : null;
    const place = item.group ?? flat;
    if (!places.has(place)) places.set(place, []);
    places.get(place).push(item);
  }
  // Containers are removed from the page first: moving thousands of cards within the page takes much longer.
  for (const box of [flat, ...[...groups.values()].map(group => group.box)]) box.remove();
  for (const [place, own] of places) {
    (place.grid ?? place).append(...own.map(item => item.card));
    if (place.grid) place.all = own.length;
  }
  const used = [...places.keys()];
  if (grouped) used.sort((a, b) => a.last - b.last || collator.compare(a.title, b.title));
  main.prepend(...used.map(place => place.box ?? place));
  return used.flatMap(place => places.get(place));
}
