// The cards, in groups by class or in one grid. Cards are moved, never made again; one listener serves them all.
const data = JSON.parse(document.getElementById("data").textContent);
const main = document.querySelector("main"), flat = main.querySelector(".cards"), cards = [...flat.children];
const tools = document.querySelector(".tools"), nothing = document.querySelector(".nothing");
const collator = new Intl.Collator(undefined, {numeric: true});
let shown = cards; // those that pass the filters, in the order of the page

function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

const items = cards.map((card, position) => {
  const {kind, path, classes, share} = card.dataset, numbers = classes ? classes.split(" ").map(Number) : [];
  const best = numbers.length ? data.classes[numbers[0]].name : "";
  card.querySelector("h3 a").tabIndex = position ? -1 : 0;
  return {card, position, kind, path, numbers, best, share: Number(share), text: `${path}\n${best}`.toLowerCase()};
});
const itemOf = new Map(items.map(item => [item.card, item]));

const orders = {
  "": (a, b) => a.position - b.position, sure: (a, b) => b.share - a.share, unsure: (a, b) => a.share - b.share,
  path: (a, b) => collator.compare(a.path, b.path),
};

const groups = new Map(); // by what all cards of a group share

function groupOf(item) {
  const key = item.numbers.length ? item.numbers[0] : item.kind;
  if (!groups.has(key)) {
    const title = item.best || (item.kind === "rejected" ? "None of these" : "Failed");
    const count = make("span", {className: "count"}), grid = make("div", {className: "cards"});
    const head = make("summary", {className: item.kind}, make("h2", {}, make("bdi", {textContent: title})), count);
    if (item.kind === "unseen") count.before(make("span", {className: "badge", textContent: "unseen"}));
    const box = make("details", {className: "group", open: true}, head, grid);
    groups.set(key, {box, count, grid, title, last: item.numbers.length ? 0 : 1, all: 0});
  }
  return groups.get(key);
}

// Puts the cards into their places: only when the order or the grouping changes.
function arrange(order, grouped) {
  const sorted = [...items].sort(orders[order] ?? orders[""]);
  const places = new Map();
  for (const item of sorted) {
    item.group = grouped ? groupOf(item) : null;
    const place = item.group ? item.group.grid : flat;
    if (!places.has(place)) places.set(place, []);
    places.get(place).push(item);
  }
  const sections = [...places.keys()].filter(place => place !== flat);
  for (const [place, own] of places) {
    place.append(...own.map(item => item.card));
    if (own[0].group) own[0].group.all = own.length;
  }
  const used = [...groups.values()].filter(group => sections.includes(group.grid));
  used.sort((a, b) => a.last - b.last || collator.compare(a.title, b.title));
  for (const group of groups.values()) group.box.remove();
  main.prepend(...used.map(group => group.box));
  flat.hidden = grouped;
  return grouped ? used.flatMap(group => places.get(group.grid)) : sorted;
}
