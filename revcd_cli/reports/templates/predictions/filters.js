// Filters the cards by text, class, kind and probability. A range of probability excludes failed photos, which have none.
/* global arrange, cards, collator, data, groups, items, main, make, nothing, tools */
const status = document.getElementById("shown"), bins = tools.querySelector(".bins"), N_BINS = 20;
let arranged = items, arrangement = "";
let shown = cards; // the cards that pass the filters, in the order of the page

function apply() {
  const want = Object.fromEntries(new FormData(tools)), text = want.text.trim().toLowerCase();
  const least = Math.min(want.least, want.most) / 100, most = Math.max(want.least, want.most) / 100;
  const wide = least === 0 && most === 1, wanted = want.class === "" ? -1 : Number(want.class);
  const next = `${want.order} ${want.grouped ?? ""}`;
  if (next !== arrangement) arranged = arrange(want.order, Boolean(want.grouped));
  arrangement = next;
  shown = [];
  for (const group of groups.values()) group.shown = 0;
  for (const item of arranged) {
    const fits = (!text || item.text.includes(text)) && (wanted < 0 || item.numbers[0] === wanted)
      && (!want.kind || item.kind === want.kind) && (wide || (item.share >= least && item.share <= most));
    if (item.card.hidden === fits) item.card.hidden = !fits;
    if (!fits) continue;
    shown.push(item.card);
    if (item.group) item.group.shown++;
  }
  for (const group of groups.values()) {
    group.box.hidden = !group.shown;
    group.box.dataset.small = group.shown;
    group.count.textContent = group.shown < group.all ? `${group.shown} of ${group.all}` : `${group.all}`;
  }
  status.textContent = shown.length < cards.length ? ` · ${shown.length.toLocaleString("en")} shown` : "";
  nothing.hidden = shown.length > 0 || !cards.length;
  tools.querySelector(".range output").textContent = wide ? "" : `${Math.round(100 * least)} to ${Math.round(100 * most)} %`;
  [...bins.children].forEach((bin, n) => bin.classList.toggle("in", n + 1 > least * N_BINS && n < most * N_BINS));
  visit(shown.includes(current) ? current : shown[0]);
}

function reset() {
  tools.reset();
  apply();
}

// The current card for the keyboard: the only one in the tab order.
let current = cards[0];
function visit(card) {
  if (current) current.querySelector("h3 a").tabIndex = -1;
  current = card ?? current;
  if (current) current.querySelector("h3 a").tabIndex = 0;
}

const named = data.classes.map((each, number) => ({...each, number})).filter(each => each.photos);
named.sort((a, b) => collator.compare(a.name, b.name));
for (const {name, photos, number} of named) {
  tools.elements.class.append(make("option", {value: number, textContent: `${name} (${photos})`}));
}
const heights = new Array(N_BINS).fill(0);
for (const {share} of items) if (share >= 0) heights[Math.min(N_BINS - 1, Math.floor(share * N_BINS))]++;
for (const height of heights) {
  const bin = make("i");
  bin.style.setProperty("--height", `${height ? Math.max(6, 100 * Math.sqrt(height / Math.max(...heights))) : 0}%`);
  bins.append(bin);
}
tools.addEventListener("input", apply);
tools.addEventListener("submit", event => event.preventDefault());
tools.querySelector(".more").addEventListener("click", event => {
  const button = event.currentTarget;
  button.setAttribute("aria-expanded", button.getAttribute("aria-expanded") !== "true");
});
nothing.querySelector(".clear").addEventListener("click", reset);
document.querySelector(".overview").addEventListener("click", event => {
  const jump = event.target.closest(".jump");
  if (!jump) return;
  tools.reset();
  tools.elements.class.value = jump.dataset.class;
  apply();
  document.querySelector(".bar").scrollIntoView({block: "start"});
});
tools.hidden = false;
apply();
main.classList.add("ready");
