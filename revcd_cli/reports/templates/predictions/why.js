// Compares the attributes generated from the photo with the descriptions of the predicted class and of another class.
/* global data, make */
/* exported fillWhy */
const LISTED = 8, HARDLY_SHOWN = 0.3; // rows for each class at first; least correlation of an attribute that photos show
const AVERAGE = "average";

function drawnOf(card) {
  if (!card.dataset.mean || !data.attributes) return null;
  const [mean, spread] = ["mean", "spread"].map(name => card.dataset[name].split(" ").map(each => each / data.levels));
  const value = (share, a) => data.low[a] + share * data.span[a];
  return {mean: mean.map(value), spread: spread.map((share, a) => share * data.span[a])};
}

// The evidence of each attribute for class `own` against `other`: how much nearer the generated value is to the
// description of `own`, in standard deviations of the attribute over classes. Sorted from `own` to `other`.
function argumentsFor(drawn, own, other) {
  const rows = drawn.mean.map((mean, a) => ({
    a, mean, spread: drawn.spread[a], own: own[a], other: other[a],
    weight: (Math.abs(mean - other[a]) - Math.abs(mean - own[a])) / data.unit[a],
  }));
  return rows.sort((one, two) => two.weight - one.weight || one.a - two.a);
}

// With enough digits for a hundredth of the attribute's range.
const number = (value, a) => value.toFixed(Math.min(20, Math.max(0, 2 - Math.round(Math.log10(data.span[a])))));
const onAxis = (value, a) => Math.min(99, Math.max(1, 8 + 84 * (value - data.low[a]) / data.span[a])); // percent
const isKnown = Boolean(data.reliability?.some(each => each !== null));
const isFaint = a => isKnown && !(data.reliability[a] >= HARDLY_SHOWN);

function mark(kind, at) {
  const element = make("i", {className: kind});
  for (const [name, value] of Object.entries(at)) element.style.setProperty(`--${name}`, value.toFixed(2));
  return element;
}

function plot(row) {
  const {a, mean, spread} = row;
  return make("span", {className: "plot", ariaHidden: "true"},
    mark("whisker", {from: onAxis(mean - spread, a), to: onAxis(mean + spread, a)}), mark("own", {at: onAxis(row.own, a)}),
    mark("other", {at: onAxis(row.other, a)}), mark("dot", {at: onAxis(mean, a)}));
}

function attributeRow(row, names) {
  const {a} = row, drawn = `${number(row.mean, a)} ± ${number(row.spread, a)}`, head = make("th", {scope: "row"});
  head.append(make("bdi", {textContent: data.attributes[a]}));
  const title = `${data.attributes[a]}: generated ${drawn}; ${names[0]} ${number(row.own, a)}; ${names[1]} ${number(row.other, a)}`;
  const line = make("tr", {title, className: isFaint(a) ? "faint" : ""}, head, make("td", {className: "axis"}, plot(row)));
  if (isFaint(a)) head.append(make("small", {textContent: "photos hardly show it"}));
  line.dataset.attribute = a;
  const cells = [[drawn, "num own"], [number(row.own, a), "num"], [number(row.other, a), "num"]];
  line.append(...cells.map(([textContent, className]) => make("td", {textContent, className})));
  return line;
}

function sectionRow(text) {
  return make("tr", {className: "section"}, make("th", {colSpan: 5, scope: "rowgroup", textContent: text}));
}

function legend(names, kind) {
  const sample = (text, ...marks) => make("span", {}, make("span", {className: `plot ${kind}`}, ...marks), make("bdi", {textContent: text}));
  return make("div", {className: "marks"},
    sample("generated from the photo: mean ± standard deviation", mark("whisker", {from: 5, to: 95}), mark("dot", {at: 50})),
    sample(names[0], mark("own", {at: 50})), sample(names[1], mark("other", {at: 50})));
}

function table(rows, names, everything) {
  const pro = rows.filter(row => row.weight > 0), con = rows.filter(row => row.weight < 0).reverse();
  const neither = rows.filter(row => row.weight === 0), head = make("tr", {}, make("th", {scope: "col", textContent: "attribute"}));
  head.append(make("th", {className: "axis", ariaLabel: "plot"}));
  head.append(...["photo", ...names].map(text => make("th", {scope: "col"}, make("bdi", {textContent: text}))));
  const body = make("tbody");
  const sides = [[`For ${names[0]}`, pro], [`For ${names[1]}`, con], ["For neither", everything ? neither : []]];
  for (const [title, side] of sides) {
    if (!side.length) continue;
    body.append(sectionRow(title), ...(everything ? side : side.slice(0, LISTED)).map(row => attributeRow(row, names)));
  }
  return make("table", {}, make("thead", {}, head), body);
}

function fillWhy(panel, item, chosen = item.numbers[1] ?? AVERAGE, everything = false) {
  const drawn = drawnOf(item.card);
  panel.replaceChildren();
  panel.hidden = !item.numbers.length;
  const [winner, other] = [item.numbers[0], chosen].map(n => n === AVERAGE ? {name: "the average class", values: data.average} : data.classes[n]);
  if (!drawn || !winner?.values || !other?.values) {
    if (item.numbers.length) panel.append(make("p", {textContent: "No attributes were generated from this photo."}));
    return;
  }
  const names = [winner.name, other.name], rows = argumentsFor(drawn, winner.values, other.values);
  const choice = make("select", {ariaLabel: "Class to compare with"});
  for (const n of [...item.numbers.slice(1), AVERAGE]) {
    choice.append(make("option", {value: n, textContent: n === AVERAGE ? "the average class" : data.classes[n].name, selected: n === chosen}));
  }
  const again = (whom, all) => fillWhy(panel, item, whom, all);
  choice.addEventListener("change", () => {
    again(choice.value === AVERAGE ? AVERAGE : Number(choice.value), everything);
    panel.querySelector("select").focus();
  });
  const pro = rows.filter(row => row.weight > 0).length, con = rows.filter(row => row.weight < 0).length;
  panel.append(
    make("h3", {}, "Why ", make("bdi", {textContent: names[0]}), " and not ", choice),
    make("p", {className: "sum"}, "Of ", make("b", {textContent: rows.length}), " attributes, ", make("b", {textContent: pro}),
      " are nearer to the first class and ", make("b", {textContent: con}), " to the second, largest differences first.",
      con > pro ? " Most are nearer to the other class: the generated attributes do not explain this prediction." : ""),
    legend(names, item.kind), table(rows, names, everything));
  if (pro > LISTED || con > LISTED || everything) {
    const button = make("button", {type: "button", className: "all", textContent: everything ? "Show the largest differences only" : `Show all ${rows.length}`});
    button.addEventListener("click", () => {
      again(chosen, !everything);
      panel.querySelector(".all").focus();
    });
    panel.append(button);
  }
  panel.append(make("p", {className: "note", textContent: note()}));
}

function note() {
  const visual = ["joint", "prototype", "auto"].includes(data.rule);
  const faint = isKnown ? ` Grey attributes are those that photos hardly show: their correlation with the table in validation is below ${HARDLY_SHOWN}, or unknown.` : "";
  return "The attributes are generated by the diffusion model from the photo; they are not measured. They are related to the rule "
    + `that ranks the classes${data.rule ? ` ("${data.rule}")` : ""}, but do not determine it${visual ? ", as this rule also compares image features" : ""}.`
    + ` Each axis is the attribute's range in the class table.${faint}`;
}
