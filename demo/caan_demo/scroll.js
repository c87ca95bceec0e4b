// Scrolls to the explanation, which may be below the visible part of the page, once its picture has loaded.
() => {
    const show = (attempts) => {
        const why = document.querySelector("#why img");
        if (why && why.complete && why.naturalWidth) why.scrollIntoView({behavior: "smooth", block: "nearest"});
        else if (attempts) setTimeout(show, 100, attempts - 1);
    };
    show(300);
}
