"use strict";
const find = (id) => document.getElementById(id);

// Return the words of a command as elements, as Python does. A line breaks only between them.
const words = (command) => command.split(/(?<= )/).map((text) => {
  const word = document.createElement("span");
  word.className = "word";
  word.textContent = text;
  return word;
});

// Copy the command beside a button.
for (const button of document.querySelectorAll("button.copy")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const code = button.parentElement.querySelector("code");
    let copied = true;
    try {
      await navigator.clipboard.writeText(code.textContent);
    } catch {
      // Without the permission, select the command, so that the keyboard can copy it.
      getSelection().selectAllChildren(code);
      copied = document.execCommand("copy");
    }
    button.textContent = copied ? "Copied" : "Selected";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
}

// Show the numbers of the maxlen that the slider has.
if (find("choices")) {
  const { choices, names, rows, turns } = JSON.parse(find("choices").textContent);
  const slider = find("maxlen");
  const first = Number(slider.value);

  const show = (index) => {
    const { maxlen, x, whole, command } = choices[index];
    const texts = Object.fromEntries(choices[index].texts.map((text, place) => [names[place], text]));
    for (const [name, text] of Object.entries(texts)) {
      for (const place of document.querySelectorAll(`[data-value="${name}"]`)) place.textContent = text;
    }
    find("command").replaceChildren(...words(command));
    slider.value = index;
    slider.setAttribute("aria-valuetext", `${texts.maxlen}: ${texts.summary}`);
    document.body.classList.toggle("moved", index !== first);
    for (const button of document.querySelectorAll("button[data-index]")) {
      button.setAttribute("aria-pressed", String(Number(button.dataset.index) === index));
    }
    for (const line of document.querySelectorAll(".chosen")) {
      line.setAttribute("x1", x);
      line.setAttribute("x2", x);
    }
    const longer = 1 - whole / rows;
    for (const name of ["shorter", "longer"]) {
      const scale = `${turns[name] ? "translate(1 1) scale(-" : "translate(0 1) scale("}${1 / maxlen} ${-1 / rows})`;
      find(name).setAttribute("transform", scale);
    }
    find("shorter-clip").setAttribute("y", longer);
    find("shorter-clip").setAttribute("height", 1 - longer);
    find("longer-clip").setAttribute("height", longer);
    // The overlap hides the edge between shorter and longer rows.
    if (find("kept")) find("kept").setAttribute("height", longer && longer + 0.004);
  };

  const choose = (index) => {
    show(index);
    history.replaceState(null, "", `#maxlen=${choices[index].maxlen}`);
  };

  // An address such as report.html#maxlen=256 shows this maxlen.
  const showAddress = () => {
    const asked = Number(/^#maxlen=(\d+)$/.exec(location.hash)?.[1]);
    const found = choices.findLastIndex((choice) => choice.maxlen <= asked);
    show(asked ? Math.max(found, 0) : first);
  };

  slider.addEventListener("input", () => choose(Number(slider.value)));
  for (const button of document.querySelectorAll("button[data-index]")) {
    button.addEventListener("click", () => choose(Number(button.dataset.index)));
  }
  addEventListener("hashchange", showAddress);
  find("chooser").hidden = false;
  showAddress();
}
